"""Pictures of the evidence: `drawing` turns a figure of `detectors.figure` into SVG or PNG."""
