from aioadapt.measure.workload import Workload

class Known(Workload):
    answer_bytes: int

class Echo(Known):
    size_bytes: int
    def __init__(self, size_bytes: int, *, datagrams: bool = False) -> None: ...

class Fixed(Known):
    def __init__(self, request: bytes, answer: bytes) -> None: ...
