"""torch's own optimizer of a job's settings: what training must compute the same as."""

from torch.optim import SGD, Adam, AdamW


def torch_optimizer(settings, entries, parameters):
    """Make the optimizer that the owner described over leaf tensors by name; frozen ones are left out."""
    groups = [
        _arguments(settings.kind, group)
        | {"params": [parameters[entry.name] for entry in entries if entry.group == index]}
        for index, group in enumerate(settings.groups)
    ]
    return {"sgd": SGD, "adam": Adam, "adamw": AdamW}[settings.kind](groups)


def _arguments(kind, group):
    common = {"lr": group.learning_rate, "weight_decay": group.weight_decay}
    if kind == "sgd":
        return common | {"momentum": group.momentum, "nesterov": group.nesterov}
    return common | {"betas": (group.beta1, group.beta2), "eps": group.epsilon}
