"""The log lines of the documented trainer, word for word, each with an English half.

Scripts and people search logs for upstream's Chinese strings, so they stay; every line can be read without them.
"""

TOKENIZER = "ℹ 使用本地 Gemma3 tokenizer: {path}"
LOCAL_BATCH_SIZE = "local_batch_size: {size}"
DATASET_SIZE = "ℹ 数据集大小: {frames} 帧 (dataset size in frames)"
LOADING_PRETRAINED = "ℹ 加载 SigLIP + Gemma3-270M 预训练权重... (loading pretrained weights)"
PRETRAINED_LOADED = "✓ 预训练权重加载完成 (pretrained weights loaded)"
RESTORING = "Restoring checkpoint from {path}."
RESTORED = "Finished restoring checkpoint in {seconds:.2f} seconds."
LEAVES_RESTORED = "ValueModelWeightLoader: restored {count} leaf arrays from {path} ({what})"
HEAD_FOLDED = "ValueModelWeightLoader: folded img/head into img_projection (exact)"
POSITIONS_RESIZED = (
    "ValueModelWeightLoader: interpolated the position embedding from {before}x{before} to {after}x{after} patches "
    "(bilinear, antialiased) of {path}"
)
RANDOM_LEAVES = "ValueModelWeightLoader: {count} leaves are not in the weights and start random: {parts}"
NO_SPEC = "the source has no value_spec.json: the result is a start for training, not something to predict with"
MODEL_READY = "模型初始化完成 (model initialised: {parameters:,} parameters, {trainable:,} trained)"
PREFETCHING = "预取前几个batch以优化GPU利用率... (prefetching the first batches)"
PREFETCHED = "✓ 成功预取 {count} 个batch (batches prefetched)"
COMPILING = "JIT编译预热... (compiling)"
COMPILED = "JIT编译完成,开始训练... (compiled in {seconds:.1f} s, training starts)"
PROGRESS = "训练进度"
RANDOM_TOWERS = (
    "WARNING: the {towers} {are} frozen at random values: good for trying the machine, useless for values; "
    "docs/weights.md says how to start from weights"
)
SAVED = "✓ 保存 checkpoint: {path}"
FINISHED = "训练完成! (training finished: {path})"
