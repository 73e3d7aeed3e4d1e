"""The alerts: each asks for what our code defines, fires in its scene, and has a page that says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock_schemas import records
from penstock_services.sandbox.policies import load_policies
from tests.deploy.metrics import defined, selectors

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
PAGES = ROOT / "docs" / "operations"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
JOBS = {job["job_name"] for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]}
PROMTOOL = shutil.which("promtool", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not here: scripts/setup takes it from Debian's package prometheus"
)
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False)


def page_of(rule: dict[str, Any]) -> Path:
    prefix, _, name = rule["annotations"]["runbook_url"].partition("/operations/")
    assert prefix == "{{ $externalLabels.docs }}"
    return PAGES / name


@each_rule
def test_an_alert_asks_for_series_and_labels_that_our_code_defines(rule: dict[str, Any]) -> None:
    series = defined()
    for name, matchers in selectors(rule["expr"]):
        assert name in series
        assert {matcher.name for matcher in matchers} <= series[name]


def test_control_a_series_that_nobody_defines_is_seen() -> None:
    asked = selectors('sum(rate(penstock_lost_total{stage="x"}[5m])) > 0 or absent(up)')
    assert [name for name, _ in asked if name not in defined()] == ["penstock_lost_total"]


@each_rule
def test_an_alert_names_records_jobs_and_tiers_that_exist(rule: dict[str, Any]) -> None:
    known = {"record": set(records.__all__), "job": JOBS, "tier": set(load_policies())}
    for _, matchers in selectors(rule["expr"]):
        for matcher in matchers:
            if matcher.name in known and matcher.value != "penstock-.+":
                assert matcher.value in known[matcher.name]


@each_rule
def test_an_alert_links_to_a_page_that_is_about_it(rule: dict[str, Any]) -> None:
    text = page_of(rule).read_text()
    assert f"Alert `{rule['alert']}`." in text
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sections == ["What it means", "What to look at", "What to do"]


def test_every_page_belongs_to_an_alert_and_is_in_the_index() -> None:
    pages = {path.name for path in PAGES.glob("*.md")} - {"index.md"}
    assert pages == {page_of(rule).name for rule in RULES}
    index = (PAGES / "index.md").read_text()
    for rule in RULES:
        assert f"]({page_of(rule).name}) | `{rule['alert']}` | {rule['labels']['severity']} |" in index


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda path: path.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@needs_promtool
def test_prometheus_accepts_its_configuration_and_the_rules() -> None:
    checked = promtool("check", "config", FOLDER / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout


@needs_promtool
def test_each_alert_fires_in_its_scene_and_none_where_nothing_is_wrong() -> None:
    scenes = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    tried = [case for scene in scenes for case in scene["alert_rule_test"]]
    names = {rule["alert"] for rule in RULES}
    assert {case["alertname"] for case in tried if case["exp_alerts"]} == names
    assert {case["alertname"] for case in scenes[0]["alert_rule_test"]} == names
    ran = promtool("test", "rules", FOLDER / "rules_test.yml")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_promtool
def test_control_a_rule_that_never_fires_fails_its_scene(tmp_path: Path) -> None:
    broken = (
        (FOLDER / "rules.yml")
        .read_text()
        .replace("penstock_audit_differences > 0", "penstock_audit_differences > 9")
    )
    (tmp_path / "rules.yml").write_text(broken)
    shutil.copy(FOLDER / "rules_test.yml", tmp_path)
    assert "PenstockAuditDifference" in promtool("test", "rules", tmp_path / "rules_test.yml").stderr
