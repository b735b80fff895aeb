"""The detect stage: rules and detectors over frames, calibration, persistence; frames in, findings out."""
