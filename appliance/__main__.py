"""`python -m appliance`, and the command `printpost`."""

from appliance.cli import main

if __name__ == "__main__":
    main()
