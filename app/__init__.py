"""The study system of NeuronJury: what neurons do, what explainers say of it, and what raters judge."""
