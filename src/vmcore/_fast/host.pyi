from typing_extensions import disjoint_base

@disjoint_base
class Region:
    def __buffer__(self, flags: int, /) -> memoryview: ...
