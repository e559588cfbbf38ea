"""``tools/mutants``: are small faults in the product found by the tests?"""
