"""The phases of a move as a picture and as tables, generated from the code's own table.

``aioadapt/migration/phase.py`` decides what is drawn: a phase or a transition that is
added there appears here at the next build.  No graph-drawing program is needed.  A
phase's column is the length of the longest path to it, in the order in which the
phases are defined.  A transition that leads back is an arc above the row, and one that
skips a column is an arc below it.
"""

from html import escape

from aioadapt.migration.phase import ENDS, OWNERS, TRANSITIONS, Event, Phase

BOX = (116, 40)
COLUMN = 236
ROW = 92
LEFT, TOP = 14, 110


def word(phase_or_event: Phase | Event) -> str:
    return phase_or_event.name.replace("_", " ").lower()


def columns() -> dict[Phase, int]:
    order = list(Phase)
    column = dict.fromkeys(order, 0)
    for source in order:
        for (start, _), target in TRANSITIONS.items():
            if start is source and order.index(target) > order.index(source):
                column[target] = max(column[target], column[source] + 1)
    last = max(column.values())
    # The phases in which a move can end share the last column.
    return {phase: last if phase in ENDS else column[phase] for phase in order}


def places() -> dict[Phase, tuple[int, int]]:
    """The centre of each phase's box."""
    rows: dict[int, int] = {}
    found = {}
    for phase, column in columns().items():
        row = rows.get(column, 0)
        rows[column] = row + 1
        found[phase] = (LEFT + BOX[0] // 2 + column * COLUMN, TOP + row * ROW)
    return found


def arrows() -> dict[tuple[Phase, Phase], list[Event]]:
    """One arrow for each pair, with every event that leads from one to the other."""
    found: dict[tuple[Phase, Phase], list[Event]] = {}
    for (source, event), target in TRANSITIONS.items():
        found.setdefault((source, target), []).append(event)
    return found


def _arrow(
    source: Phase, target: Phase, events: list[Event], at: dict[Phase, tuple[int, int]]
) -> str:
    (x, y), (to_x, to_y) = at[source], at[target]
    half_w, half_h = BOX[0] // 2, BOX[1] // 2
    column = columns()
    span = column[target] - column[source]
    anchor = "middle"
    if source is target:
        path = (
            f"M{x - 26},{y - half_h} C{x - 44},{y - 84} {x + 44},{y - 84} "
            f"{x + 26},{y - half_h}"
        )
        label = (x, y - 76)
    elif span <= 0:
        top = y - half_h
        path = f"M{x},{top} C{x},{top - 50} {to_x + 44},{top - 50} {to_x + 44},{top}"
        label = ((x + to_x) // 2 + 22, top - 44)
    elif span == 1 and y == to_y:
        path = f"M{x + half_w},{y} L{to_x - half_w},{to_y}"
        label = ((x + to_x) // 2, y - 8)
    elif span == 1:
        # Down first, then across.  The nearest row gets the rightmost path.
        rows = (to_y - y) // ROW
        start, end_y = x + half_w - 24 * rows, to_y - 8
        path = (
            f"M{start},{y + half_h} L{start},{end_y - 10} "
            f"Q{start},{end_y} {start + 10},{end_y} L{to_x - half_w},{end_y}"
        )
        label = (to_x - half_w - 70, end_y - 8)
    else:
        # The more columns it spans, the lower it runs.
        end_y = to_y + 9 * (span - 1) - 6
        low = end_y + 34 * (span - 1)
        path = (
            f"M{x},{y + half_h} C{x},{low} {x + 60},{low} {x + 150},{low} "
            f"S{to_x - half_w - 60},{end_y} {to_x - half_w},{end_y}"
        )
        label = (x + 12, y + half_h + 30)
        anchor = "start"
    text = ", ".join(word(event) for event in events)
    meanings = "; ".join(f"{word(event)}: {event.value}" for event in events)
    return (
        f'<g data-from="{source.name}" data-to="{target.name}" '
        f'data-events="{" ".join(event.name for event in events)}">'
        f"<title>{escape(meanings)}</title>"
        f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="1.4" '
        'marker-end="url(#phase-arrow)"/>'
        f'<text x="{label[0]}" y="{label[1]}" text-anchor="{anchor}" '
        f'font-size="13" fill="currentColor">{escape(text)}</text></g>'
    )


def _box(phase: Phase, x: int, y: int) -> str:
    width, height = BOX
    edge = 3 if phase in ENDS else 1.4
    return (
        f'<g data-phase="{phase.name}"><title>{escape(phase.value)}</title>'
        f'<rect x="{x - width // 2}" y="{y - height // 2}" width="{width}" '
        f'height="{height}" rx="7" fill="none" stroke="currentColor" '
        f'stroke-width="{edge}"/>'
        f'<text x="{x}" y="{y + 5}" text-anchor="middle" font-size="14" '
        f'fill="currentColor">{phase.name}</text></g>'
    )


def diagram() -> str:
    """An SVG in the page's colours, with every phase and every transition."""
    at = places()
    width = max(x for x, _ in at.values()) + BOX[0] // 2 + LEFT
    height = max(y for _, y in at.values()) + BOX[1] + 70
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'role="img" aria-label="The phases of a move; the table below says the same" '
        'style="width:100%;height:auto" font-family="inherit">',
        '<defs><marker id="phase-arrow" viewBox="0 0 10 10" refX="9" refY="5" '
        'markerWidth="8" markerHeight="8" orient="auto-start-reverse">'
        '<path d="M0,0 L10,5 L0,10 z" fill="currentColor"/></marker></defs>',
        *(_arrow(*pair, events, at) for pair, events in arrows().items()),
        *(_box(phase, *middle) for phase, middle in at.items()),
        "</svg>",
    ]
    return "```{raw} html\n" + "\n".join(parts) + "\n```"


def transitions() -> str:
    rows = [
        f"| `{source.name}` | `{event.name}` | {event.value} | `{target.name}` |"
        for (source, event), target in TRANSITIONS.items()
    ]
    return "\n".join(
        ["| in | event | meaning | goes to |", "| --- | --- | --- | --- |", *rows]
    )


def owners() -> str:
    rows = [
        f"| `{phase.name}` | {phase.value} | {OWNERS[phase].value} "
        f"| {'yes' if phase in ENDS else ''} |"
        for phase in Phase
    ]
    head = [
        "| phase | meaning | who closes the descriptor | an end |",
        "| --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows])
