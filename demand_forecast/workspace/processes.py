"""Whether another process of this machine is still there."""

import os


def is_running(process_id: int) -> bool:
    """Whether this machine has a process of that id, whoever owns it."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
