"""Checks docker-compose.yml where Docker is not at hand: structure, references, and what Admit insists on.

Usage: compose_check.py docker-compose.yml .env.example
"""

import os
import re
import sys

import yaml

TOP = {"name", "services", "volumes", "networks", "secrets", "configs"}
SERVICE = {
    "image", "build", "command", "entrypoint", "environment", "env_file", "ports", "expose", "volumes",
    "depends_on", "healthcheck", "restart", "profiles", "networks", "user", "read_only", "tmpfs",
    "cap_drop", "cap_add", "security_opt", "stop_grace_period", "stop_signal", "init", "logging", "deploy",
    "ulimits", "sysctls", "shm_size", "secrets", "configs", "labels", "scale",
}  # fmt: skip
HEALTHCHECK = {"test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
problems = []


def wrong(text):
    problems.append(text)


class Strict(yaml.SafeLoader):
    """YAML keeps the last of two equal keys without a word; that hides mistakes."""


def no_duplicates(loader, node, deep=False):
    seen = set()
    for key, _ in node.value:
        if key.value in seen and key.value != "<<":
            raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} stands twice", key.start_mark)
        seen.add(key.value)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep)


Strict.add_constructor("tag:yaml.org,2002:map", no_duplicates)


def names(value):
    return list(value) if isinstance(value, (dict, list)) else []


def check_service(name, service, document, folder):
    for key in set(service) - SERVICE:
        wrong(f"{name}: unknown key {key}")
    if "image" not in service and "build" not in service:
        wrong(f"{name}: neither image nor build")
    image = service.get("image", "")
    if image and "build" not in service and ("@sha256" not in image and not re.search(r":[^/:]*\d[^/:]*$", image)):
        wrong(f"{name}: image {image} names no version")
    build = service.get("build")
    if isinstance(build, dict):
        path = os.path.join(folder, build.get("context", "."), build.get("dockerfile", "Dockerfile"))
        stages = re.findall(r"(?im)^from\s+\S+\s+as\s+(\S+)", open(path).read()) if os.path.exists(path) else []
        if not os.path.exists(path):
            wrong(f"{name}: there is no {path}")
        elif "target" in build and build["target"] not in stages:
            wrong(f"{name}: the Dockerfile has no stage {build['target']}")
    needs = service.get("depends_on", {})
    for other in names(needs):
        if other not in document["services"]:
            wrong(f"{name}: depends on {other}, which does not exist")
            continue
        condition = needs[other].get("condition") if isinstance(needs, dict) else "service_started"
        if condition not in CONDITIONS:
            wrong(f"{name}: unknown condition {condition}")
        if condition == "service_healthy" and "healthcheck" not in document["services"][other]:
            wrong(f"{name}: waits for the health of {other}, which has no healthcheck")
    for key in set(service.get("healthcheck", {})) - HEALTHCHECK:
        wrong(f"{name}: unknown healthcheck key {key}")
    for kind in ("networks", "secrets", "configs"):
        for used in names(service.get(kind)):
            if used not in (document.get(kind) or {}):
                wrong(f"{name}: {kind[:-1]} {used} is not declared")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0] if isinstance(volume, str) else volume.get("source", "")
        if source.startswith("."):
            if not os.path.exists(os.path.join(folder, source)):
                wrong(f"{name}: {source} does not exist")
        elif source not in (document.get("volumes") or {}) and not source.startswith("/"):
            wrong(f"{name}: volume {source} is not declared")


def check_promises(services):
    """What the design asks of the stores and of the instances."""
    redis = str(services.get("redis", {}).get("command", ""))
    for word in ("appendonly", "noeviction"):
        if word not in redis:
            wrong(f"redis: its command does not say {word}")
    major = re.match(r"postgres:(\d+)", services.get("postgres", {}).get("image", ""))
    if not major or int(major.group(1)) < 16:
        wrong("postgres: not version 16 or newer")
    for name in ("serve", "work", "nginx"):
        if name not in services:
            wrong(f"there is no service {name}")
    if "ports" in services.get("serve", {}) or "container_name" in services.get("serve", {}):
        wrong("serve: a published port or a fixed name keeps it from being scaled")
    for name, service in services.items():
        if str(service.get("user", "")) in ("root", "0", "0:0") or service.get("privileged"):
            wrong(f"{name}: runs as root")


def check_variables(text, example):
    stated = set(re.findall(r"(?m)^#? ?([A-Z][A-Z0-9_]*)=", open(example).read()))
    used = set(re.findall(r"(?<!\$)\$\{([A-Z][A-Z0-9_]*)", text))
    for name in sorted(used - stated):
        wrong(f"{os.path.basename(example)} does not state {name}")
    for name in sorted(stated - used):
        wrong(f"{os.path.basename(example)} states {name}, which nothing uses")


def main(path, example):
    text = open(path).read()
    try:
        document = yaml.load(text, Strict)
    except yaml.YAMLError as error:
        print(error)
        return 1
    folder = os.path.dirname(os.path.abspath(path))
    for key in set(document) - TOP:
        if not key.startswith("x-"):
            wrong(f"unknown top-level key {key}")
    for name, service in document.get("services", {}).items():
        check_service(name, service, document, folder)
    check_promises(document.get("services", {}))
    check_variables(text, example)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


sys.exit(main(*sys.argv[1:]))
