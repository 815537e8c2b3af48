"""A cluster with another name is another cluster to Envoy: it is not used before it is warm."""

import pytest

from extension_server.hooks import messages, naming
from extension_server.xds import names, pool
from tests.support.hooks import SCENARIOS, Scenario, decoded


@pytest.mark.parametrize("recorded", SCENARIOS, ids=str)
def test_each_plan_has_a_name_of_its_own_whatever_endpoints_come_by(recorded: Scenario) -> None:
    request = messages.request("PostTranslateModify").FromString(recorded.translation)
    for cluster in decoded("clusters", request):
        if names.cluster(cluster.name) is None:
            continue
        raw = pool.serialized(cluster)
        single, attempt = (naming.name_of(raw, cluster.name, plan) for plan in ("single", "attempt"))
        assert single != attempt
        assert names.plain(single) == names.plain(attempt) == cluster.name
        other = pool.message_class(pool.CLUSTER).FromString(naming.renamed(raw, cluster.name, attempt))
        assert (other.name, other.alt_stat_name) == (attempt, cluster.name)
        if cluster.HasField("eds_cluster_config"):
            assert other.eds_cluster_config.service_name == cluster.name
            assert not other.HasField("load_assignment")
        else:
            assert other.load_assignment.cluster_name == attempt


def test_endpoints_of_a_cluster_without_a_name_for_them_are_asked_for_by_its_old_one() -> None:
    cluster = pool.message(pool.CLUSTER, name="httproute/a/b/rule/0", eds_cluster_config={"eds_config": {"ads": {}}})
    name = naming.name_of(pool.serialized(cluster), cluster.name, "attempt")
    renamed = pool.message_class(pool.CLUSTER).FromString(naming.renamed(pool.serialized(cluster), cluster.name, name))
    assert renamed.eds_cluster_config.service_name == cluster.name
    assert renamed.eds_cluster_config.eds_config.HasField("ads")


def test_a_cluster_that_knows_its_endpoints_otherwise_keeps_its_name() -> None:
    cluster = pool.message(pool.CLUSTER, name="httproute/a/b/rule/0", cluster_type={"name": "custom"})
    assert naming.name_of(pool.serialized(cluster), cluster.name, "attempt") == cluster.name
