"""Who may do what on Kafka: derived from the topic declarations, printed, applied."""
