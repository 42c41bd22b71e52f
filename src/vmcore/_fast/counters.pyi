COUNTER_NAMES: tuple[str, ...]
