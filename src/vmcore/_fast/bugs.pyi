BUG_NAMES: tuple[str, ...]
