ALTER TABLE executions_progress
    ADD COLUMN IF NOT EXISTS path String COMMENT 'ArtifactKept: the file, below the workspace' AFTER text,
    ADD COLUMN IF NOT EXISTS sha256 String COMMENT 'ArtifactKept: of its bytes; the artifact store has them under it' AFTER path,
    ADD COLUMN IF NOT EXISTS size_bytes Int64 COMMENT 'ArtifactKept' AFTER sha256;

ALTER TABLE executions_events
    ADD COLUMN IF NOT EXISTS artifacts_ref_sha256 Nullable(String) COMMENT 'ExecutionCompleted: the list of kept files is in the artifact store' AFTER output_ref_uri,
    ADD COLUMN IF NOT EXISTS artifacts_ref_size Nullable(Int64) COMMENT 'Bytes' AFTER artifacts_ref_sha256,
    ADD COLUMN IF NOT EXISTS artifacts_ref_uri Nullable(String) AFTER artifacts_ref_size,
    ADD COLUMN IF NOT EXISTS artifacts Int32 COMMENT 'ExecutionCompleted: how many files were kept' AFTER artifacts_ref_uri;

ALTER TABLE executions_progress
    MODIFY COLUMN record_type LowCardinality(String) COMMENT 'ProgressReported, StepStarted, StepFinished, ToolCalled, OutputEmitted, ArtifactKept';
