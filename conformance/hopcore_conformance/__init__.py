"""The conformance suite of hopcore: every statement of the specification, checked on any backend.

``python -m hopcore_conformance --backend NAME`` runs it; ``pytest -p hopcore_conformance.plugin``
runs it with pytest's own options. A check compares the backend with the portable kernels on NumPy
float64 and with the mathematics itself, and names the statement that it verifies.
"""

from hopcore_conformance.report.statements import STATEMENTS, statement
from hopcore_conformance.subject import Subject

__all__ = ["STATEMENTS", "Subject", "statement"]
