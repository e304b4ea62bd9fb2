"""`python -m appliance`, and the command `printpost`."""

import mailstore.logs  # noqa: F401 - before anybody else imports structlog

# isort: split
from appliance.cli import main

if __name__ == "__main__":
    main()
