CHECK_NAMES: dict[int, tuple[str, str]]
