"""NIR, the Neuromorphic Intermediate Representation: networks from files, files from networks, what files leave open.

```python
net = graphc.nir.read("braille.nir", dt=0.1 * ms, dialect="euler")
graphc.nir.write(gc.compile(net), "again.nir")
print(graphc.nir.check("braille.nir"))
```

A NIR graph is written in continuous time. Its numbers depend on the step and on the *dialect*: see docs/nir.md.
"""

from .check import Finding, Report, check
from .dialect import DIALECTS, Dialect
from .imported import ImportedNetwork
from .read import read
from .write import write

__all__ = ["DIALECTS", "Dialect", "Finding", "ImportedNetwork", "Report", "check", "read", "write"]
