CREATE OR REPLACE VIEW v_prices AS
SELECT
    model,
    effective_from,
    any(price_version) AS price_version,
    any(input_nanousd_per_mtok) AS input_nanousd_per_mtok,
    any(cache_read_nanousd_per_mtok) AS cache_read_nanousd_per_mtok,
    any(cache_write_nanousd_per_mtok) AS cache_write_nanousd_per_mtok,
    any(output_nanousd_per_mtok) AS output_nanousd_per_mtok,
    any(tool_call_nanousd) AS tool_call_nanousd,
    any(cpu_second_nanousd) AS cpu_second_nanousd,
    any(gb_second_nanousd) AS gb_second_nanousd,
    min(occurred_at) AS listed_at
FROM price_events
WHERE record_type = 'PriceListed'
GROUP BY model, effective_from;

ALTER TABLE v_prices MODIFY COMMENT 'The operator''s price list: every price once, by model and effective date';
