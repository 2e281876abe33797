"""Works on batches: shards of rows, whatever they ask of models, stored one by one."""
