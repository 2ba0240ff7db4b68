"""What axe-core says against a page that is shown in a browser."""

from importlib import resources

import pytest

_RUN = """
const done = arguments[0];
const values = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
axe.run(document, {runOnly: {type: "tag", values}}).then(
  ({violations}) => done(violations.map(
    ({id, nodes}) => [id, ...nodes.map(({target, any}) => [target.join(" "),
      any.map(({message}) => message).join(" ")])])),
  (error) => done([String(error)]));
"""


def violations(browser):
    """Return the rules of WCAG 2.1 A and AA that a page breaks, with where and why."""
    axe = pytest.importorskip("axe_core_python", reason="needs axe-core-python")
    script = resources.files(axe).joinpath("axe.min.js").read_text("utf-8")
    browser.execute_script(script)
    return browser.execute_async_script(_RUN)
