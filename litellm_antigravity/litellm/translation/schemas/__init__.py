"""JSON Schemas of tools, made into the subset of OpenAPI that upstream takes.

`keywords` reads a schema, `values` and `merging` put schemas together, `preparation` does it for any schema, and
`parameters` for the root of a tool's, for which stricter rules hold.
"""

from litellm_antigravity.litellm.translation.schemas.parameters import prepare_parameters
from litellm_antigravity.litellm.translation.schemas.preparation import MAX_DEPTH, MAX_NODES, prepare_schema

__all__ = ["MAX_DEPTH", "MAX_NODES", "prepare_parameters", "prepare_schema"]
