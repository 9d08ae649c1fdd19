# Works with make 3.81 (macOS) and later. The variables of docs/operating.md may be given here too: make run PORT=8080
.PHONY: run test system test-data test-slow test-gpu test-vllm bench lint
INSTALLED := .venv/installed

run: $(INSTALLED)
	@exec .venv/bin/python manage.py up

test: $(INSTALLED)
	@exec bin/test

system:
	@exec bin/system

test-data test-slow test-gpu test-vllm: $(INSTALLED)
	@exec bin/test-needing $(@:test-%=%)

bench: $(INSTALLED)
	@exec .venv/bin/python -m bench

lint: $(INSTALLED)
	@exec bin/lint

$(INSTALLED): requirements.txt constraints.txt
	@exec bin/venv
