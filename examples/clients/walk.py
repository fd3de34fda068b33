"""Walks the life of an agent through a platform, over HTTP and Redis's protocol, and prints one line for each thing seen.

    agion dev
    python3 walk.py http://127.0.0.1:8080 redis://127.0.0.1:6379

Needs nothing but Python's standard library. Exits with 1 when something was not as promised.
"""

import datetime
import json
import sys
import time
import urllib.parse
import uuid

import objects
from objects import faults
from wire import Http, Push, RedisFault, Resp, flat, pairs

RUN = uuid.uuid4().hex[:8]
ORG = "org-" + RUN
AGENT = "agent-" + RUN

TRUST = "agion:events:trust"
DEAD = "agion:events:dead-letter"

failed = []


def seen(what, holds, detail=""):
    """One line; a failure is remembered and the walk goes on."""
    print(("ok      " if holds else "FAILED  ") + what + ("" if holds else ": %s" % (detail,)), flush=True)
    if not holds:
        failed.append(what)
    return holds


def same(what, found, wanted):
    return seen(what, found == wanted, "found %r, wanted %r" % (found, wanted))


def whole(what, value, shape):
    lacks = faults(value, shape)
    return seen(what + " has every field with its type", not lacks, "; ".join(lacks))


def refused(what, answer, status):
    """An error body under a status."""
    lacks = faults(answer[1], objects.ERROR)
    return seen(
        "%s: %d with an error body" % (what, status),
        answer[0] == status and not lacks,
        "%s %s %s" % (answer[0], answer[1], lacks),
    )


def until(look, seconds=20):
    """What `look` finds, as soon as it finds something."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found or time.monotonic() > end:
            return found
        time.sleep(0.02)


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


class Walk:
    def __init__(self, url, redis_url):
        self.http = Http(url)
        self.redis_url = redis_url
        self.redis = Resp(redis_url)

    # Small questions

    def resource(self, name, **more):
        body = {
            "organization_id": ORG,
            "resource_type": "ai_model",
            "name": name,
            "resource_data": {"cost_per_1k_tokens": 0.01},
            "created_by": "operator",
        }
        return self.http("POST", "/resources", {**body, **more})

    def wish(self, resource_id, actor=AGENT, **more):
        body = {
            "actor_id": actor,
            "actor_type": "agent",
            "resource_id": resource_id,
            "permission_type": "use",
            "purpose": "to answer tickets",
        }
        return self.http("POST", "/permissions", {**body, **more})

    def check(self, resource_id, actor=AGENT, **context):
        status, body, _ = self.http(
            "POST",
            "/permissions/check",
            {
                "organization_id": ORG,
                "actor_id": actor,
                "actor_type": "agent",
                "resource_id": resource_id,
                "permission_type": "use",
                "context": context,
            },
        )
        if status != 200:
            raise AssertionError("a check answered %s %s" % (status, body))
        return body

    def approve(self, permission_id, by="boss"):
        return self.http("POST", "/permissions/%s/approve" % permission_id, {"approved_by": by, "notes": "fine"})

    def granted(self, name, actor=AGENT, constraints=None, **more):
        """A resource and an approved permission on it: their ids."""
        resource_id = self.resource(name, **more)[1]["id"]
        wish = self.wish(resource_id, actor, **({} if constraints is None else {"constraints": constraints}))
        self.approve(wish[1]["id"])
        return resource_id, wish[1]["id"]

    def score(self, actor=AGENT):
        status, body, _ = self.http("GET", "/trust/score/%s?entity_type=agent" % actor)
        return body["data"]["score"] if status == 200 else None

    def trust(self, actor=AGENT, event_type="task_completed", **more):
        fields = {
            "agent_id": actor,
            "event_type": event_type,
            "severity": "positive",
            "impact": 0.1,
            "confidence": 0.9,
            "context": {"task": uuid.uuid4().hex},
            "timestamp": now(),
        }
        fields = {**fields, **more}
        return ["XADD", TRUST, "*"] + flat({k: v for k, v in fields.items() if v is not None})

    def entries(self, stream, after="-"):
        return [(i, pairs(words)) for i, words in self.redis("XRANGE", stream, after, "+")]

    # The walk

    def run(self):
        for part in (
            self.health,
            self.registering,
            self.resources,
            self.permissions,
            self.checks,
            self.limits,
            self.missing_things,
            self.policies,
            self.protocol,
            self.graduation,
            self.poison,
            self.operator_trust,
            self.faults_of_clients,
            self.feedback,
            self.stream_feedback,
            self.interactions,
            self.registry,
            self.audit,
            self.kill_switch,
            self.revocation,
            self.announced,
            self.pushed,
            self.resource_removal,
        ):
            print("-- " + part.__name__.replace("_", " "))
            try:
                part()
            except (AssertionError, KeyError, TypeError, IndexError, OSError, ValueError, RedisFault) as error:
                seen(part.__name__ + " went to its end", False, repr(error))

    def health(self):
        for path in ("/health", "/ready"):
            same("GET %s answers 200 without the prefix" % path, self.http.raw("GET", path)[0], 200)
        refused("a path that is none", self.http("GET", "/nothing-here"), 404)

    def registering(self):
        body = {"agent_id": AGENT, "version": "1.0.0", "status": "active", "registered_at": now()}
        for turn in ("once", "again"):
            status, agent, _ = self.http("POST", "/agents/register", body)
            seen("registering %s is fine" % turn, status in (200, 201), "%s %s" % (status, agent))
        older = {
            "name": "older-" + RUN,
            "type": "assistant",
            "capabilities": ["chat"],
            "version": "0.9",
            "owner": "team",
            "metadata": {"a": 1},
        }
        status, agent, _ = self.http("POST", "/agents/register", older)
        seen("the older form registers too", status in (200, 201), "%s %s" % (status, agent))
        whole("an agent of the older form", agent, objects.AGENT)
        status, agent, _ = self.http("GET", "/agents/" + AGENT)
        whole("an agent", agent, objects.AGENT)
        same("a registration begins a score at 40", self.score(), 40)
        status, agents, _ = self.http("GET", "/agents")
        seen("the agent is listed", AGENT in [agent["agent_id"] for agent in agents["agents"]])
        refused("an agent that never registered", self.http("GET", "/agents/nobody-" + RUN), 404)

    def resources(self):
        status, made, _ = self.resource(
            "gpt-" + RUN, tags=["prod", "chat"], compliance_labels=["gdpr"], unknown_field=1, metadata={"k": [1]}
        )
        same("POST /resources answers 201, and ignores a field that it does not know", status, 201)
        whole("a resource", made, objects.RESOURCE)
        headers = self.http("GET", "/resources/" + made["id"])[2]
        seen("FRESH-2: an answer carries Agion-Epoch", (headers["Agion-Epoch"] or "").isdigit(), headers)
        same(
            "a resource has the defaults",
            [made[k] for k in ("trust_tier_required", "risk_level", "status", "health_status")],
            [0, "low", "active", "unknown"],
        )
        self.model = made["id"]
        refused("the same name of the same type", self.resource("gpt-" + RUN), 409)
        refused("a type that is none", self.resource("x", resource_type="spaceship"), 400)
        refused("a tier above 100", self.resource("x", trust_tier_required=101), 400)
        refused("a body that is no JSON", self.http_text("/resources", b"{nonsense"), 400)
        status, child, _ = self.resource("child-" + RUN, parent_resource_id=self.model, tags=["chat"])
        self.child = child["id"]
        same("GET /resources/{id} answers what was made", self.http("GET", "/resources/" + self.model)[1], made)
        status, children, _ = self.http("GET", "/resources/%s/children" % self.model)
        same("GET children answers {children, total}", [status, children["total"], len(children["children"])], [200, 1, 1])
        whole("a child", children["children"][0], objects.RESOURCE)
        query = "/resources?organization_id=" + ORG
        status, listed, _ = self.http("GET", query)
        same("the list says total, limit and offset", [listed[k] for k in ("total", "limit", "offset")], [2, 100, 0])
        for what, more, total in (
            ("by type", "&resource_type=ai_model", 2),
            ("by an enum as Python prints it", "&resource_type=ResourceType.AI_MODEL", 2),
            ("by another type", "&resource_type=ResourceType.DATABASE", 0),
            ("by status, health and risk", "&status=active&health_status=unknown&risk_level=low", 2),
            ("by parent", "&parent_resource_id=" + self.model, 1),
            ("by tags with a comma", "&tags=prod,chat", 1),
            ("by tags that are repeated", "&tags=prod&tags=chat", 1),
            ("by a compliance label", "&compliance_labels=gdpr", 1),
        ):
            same("resources are listed " + what, self.http("GET", query + more)[1].get("total"), total)
        status, second, _ = self.http("GET", query + "&limit=1&offset=1")
        same("limit and offset give a page", [len(second["resources"]), second["total"]], [1, 2])
        refused("a list without an organization", self.http("GET", "/resources"), 400)
        refused("a limit of 0", self.http("GET", query + "&limit=0"), 400)
        refused("an enum value that is none", self.http("GET", query + "&status=asleep"), 400)
        status, put, _ = self.http(
            "PUT",
            "/resources/" + self.model,
            {"description": "a model", "health_status": "healthy", "health_message": "fine", "updated_by": "operator"},
        )
        same("PUT /resources/{id} answers 200", [status, put["description"], put["health_status"]], [200, "a model", "healthy"])
        whole("a changed resource", put, objects.RESOURCE)
        refused("a resource that is not there", self.http("GET", "/resources/" + str(uuid.uuid4())), 404)

    def http_text(self, path, text):
        status, body, headers = self.http.raw("POST", "/api/v1" + path, text, {"Content-Type": "application/json"})
        return status, json.loads(body), headers

    def permissions(self):
        found = self.check(self.model)
        same("without a permission", [found["allowed"], found["reason"]], [False, "No approved permission found"])
        whole("a denial", found, objects.CHECK)
        status, wish, _ = self.wish(self.model, requested_by="developer", justification="tickets")
        same("POST /permissions answers 201, pending", [status, wish["status"]], [201, "pending"])
        whole("a permission", wish, objects.PERMISSION)
        whole("its usage_tracking", wish["usage_tracking"], objects.USAGE_TRACKING)
        self.permission = wish["id"]
        refused("requesting what is pending", self.wish(self.model), 409)
        status, denied, _ = self.http(
            "POST", "/permissions/%s/deny" % self.permission, {"denied_by": "boss", "reason": "not yet"}
        )
        same("deny answers 200, denied", [status, denied["status"]], [200, "denied"])
        refused(
            "denying what is denied",
            self.http("POST", "/permissions/%s/deny" % self.permission, {"denied_by": "boss", "reason": "no"}),
            409,
        )
        refused("approving what is denied", self.approve(self.permission), 409)
        status, again, _ = self.wish(self.model, requested_by="developer")
        same("requesting again re-opens the row", [status, again["id"], again["status"]], [201, self.permission, "pending"])
        refused(
            "LIMIT-5: who requested approves",
            self.approve(self.permission, "developer"),
            403,
        )
        refused("PUT of approved", self.http("PUT", "/permissions/" + self.permission, {"status": "approved"}), 409)
        status, approved, _ = self.approve(self.permission)
        same(
            "approve answers 200, approved",
            [status, approved["status"], approved["approved_by"], approved["approval_notes"]],
            [200, "approved", "boss", "fine"],
        )
        whole("an approved permission", approved, objects.PERMISSION)
        refused("approving twice", self.approve(self.permission), 409)
        same("GET /permissions/{id}", self.http("GET", "/permissions/" + self.permission)[1], approved)
        status, active, _ = self.http("GET", "/permissions/active?actor_id=" + AGENT)
        same("GET /permissions/active", [status, active["total"]], [200, 1])
        whole("an active permission", active["permissions"][0], objects.ACTIVE)
        same("the view names the resource", active["permissions"][0]["resource_name"], "gpt-" + RUN)
        query = urllib.parse.urlencode(
            {
                "actor_id": AGENT,
                "actor_type": "ActorType.AGENT",
                "resource_id": self.model,
                "permission_type": "PermissionType.USE",
                "status": "PermissionStatus.APPROVED",
            }
        )
        status, listed, _ = self.http("GET", "/permissions?" + query)
        same("GET /permissions by all its filters", [status, listed["total"], listed["offset"]], [200, 1, 0])
        refused("a permission on a resource that is not there", self.wish(str(uuid.uuid4())), 404)
        refused("a permission that is not there", self.http("GET", "/permissions/" + str(uuid.uuid4())), 404)
        same("a grant covers not the children", self.check(self.child)["allowed"], False)

    def checks(self):
        found = self.check(self.model, request_tokens=10, estimated_cost=0.001)
        same("with a permission", found["allowed"], True)
        whole("an answer", found, objects.CHECK)
        whole("its permission", found["permission"], objects.PERMISSION)
        whole("its metadata", found["metadata"], objects.CHECK_METADATA)
        same("the score that was looked at", found["metadata"]["trust_score"], 40)
        guarded, _ = self.granted("guarded-" + RUN, trust_tier_required=60)
        same("too little trust", self.check(guarded)["reason"], "Trust score too low: 40 < 60")
        status, _, _ = self.http("PUT", "/resources/" + guarded, {"trust_tier_required": 0, "status": "inactive"})
        same("a resource that is not active", [status, self.check(guarded)["reason"]], [200, "Resource is inactive"])
        self.http("PUT", "/resources/" + guarded, {"status": "active", "health_status": "unhealthy"})
        same("a resource that is not well", self.check(guarded)["reason"], "Resource is unhealthy")
        secret = "my number is " + "-".join(["212", "55", "4321"])
        found = self.check(self.model, content=secret)
        seen(
            "a secret in the content",
            not found["allowed"] and found["reason"].startswith("Content blocked: "),
            found["reason"],
        )
        status, usage, _ = self.http("GET", "/permissions/%s" % self.permission)
        same("CHECK-4: checks count nothing", usage["usage_tracking"]["total_requests"], 0)
        status, batch, _ = self.http(
            "POST",
            "/permissions/check/batch",
            {
                "checks": [
                    {
                        "organization_id": ORG,
                        "actor_id": AGENT,
                        "actor_type": "agent",
                        "resource_id": resource,
                        "permission_type": "use",
                        "context": {},
                    }
                    for resource in (self.model, self.child)
                ]
            },
        )
        same("a batch answers in order", [found["allowed"] for found in batch["results"]], [True, False])

    def limits(self):
        limits = {"rate_limit_rpm": 3, "token_limit_per_day": 1000, "cost_limit_per_day_usd": 1.0}
        limited, grant = self.granted("limited-" + RUN, constraints=limits)
        use = "/permissions/%s/usage" % grant
        status, nothing, _ = self.http("POST", use, {"token_count": 400, "cost_usd": 0.25})
        same("usage answers 204 and counts one request", [status, nothing], [204, None])
        event = str(uuid.uuid4())
        for _ in range(2):
            self.http("POST", use, {"token_count": 100, "cost_usd": 0.25, "event_id": event, "occurred_at": now()})
        tracking = self.http("GET", "/permissions/" + grant)[1]["usage_tracking"]
        same(
            "the same event_id counts once",
            [tracking["total_requests"], tracking["total_tokens"], tracking["total_cost_usd"]],
            [2, 500, 0.5],
        )
        same("tokens that fit", self.check(limited, request_tokens=500)["allowed"], True)
        found = self.check(limited, request_tokens=501)
        same("tokens that do not", found["reason"], "Token limit would be exceeded")
        constraints = self.check(limited)["constraints"]
        seen(
            "what is left is told",
            constraints.get("remaining_tokens_today") == 500
            and constraints.get("remaining_budget_today") == 0.5
            and constraints.get("remaining_requests_today") == 1,
            constraints,
        )
        found = self.check(limited, request_tokens=1, estimated_cost=0.51)
        same("a cost that does not fit", found["reason"], "Cost limit would be exceeded")
        self.http("POST", use, {})
        same("a rate that is used up", self.check(limited)["reason"], "Rate limit exceeded: 3 RPM")
        refused("usage below zero", self.http("POST", use, {"token_count": -1}), 400)
        later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=2)
        hours = "%02d:00-%02d:00" % (later.hour, (later.hour + 1) % 24)
        status, put, _ = self.http("PUT", "/permissions/" + grant, {"constraints": {"allowed_hours": hours}})
        same("PUT of constraints", [status, put["constraints"].get("allowed_hours")], [200, hours])
        seen("outside allowed hours", self.check(limited)["reason"].startswith("Outside allowed hours: "))
        status, put, _ = self.http("PUT", "/permissions/" + grant, {"status": "suspended"})
        same("PUT suspends", [status, put["status"], self.check(limited)["allowed"]], [200, "suspended", False])
        same("approve takes a suspension back", self.approve(grant)[1].get("status"), "approved")
        reserved, room = self.granted("reserved-" + RUN, constraints={"rate_limit_rpm": 1})
        question = {
            "organization_id": ORG,
            "actor_id": AGENT,
            "actor_type": "agent",
            "resource_id": reserved,
            "permission_type": "use",
            "context": {},
            "amounts": {"requests": 1, "tokens": 5, "cost_usd": 0.01},
            "ttl_ms": 60000,
        }
        first = self.http("POST", "/permissions/reserve", {**question, "idempotency_key": str(uuid.uuid4())})[1]
        second = self.http("POST", "/permissions/reserve", {**question, "idempotency_key": str(uuid.uuid4())})[1]
        same(
            "a reservation counts, so the next is refused",
            [first["allowed"], second["allowed"], second["reason"]],
            [True, False, "Rate limit exceeded: 1 RPM"],
        )
        settle = "/permissions/reservations/%s/settle" % first["reservation"]["id"]
        amounts = {"requests": 1, "tokens": 7, "cost_usd": 0.02}
        same("it settles", [self.http("POST", settle, amounts)[0] for _ in range(2)], [204, 204])
        tracking = self.http("GET", "/permissions/" + room)[1]["usage_tracking"]
        same("at the truth, once", [tracking["total_requests"], tracking["total_tokens"]], [1, 7])
        status, ledger, _ = self.http("GET", "/permissions/%s/usage" % room)
        seen("the ledger has a row", status == 200 and RUN and "7" in json.dumps(ledger), ledger)

    def missing_things(self):
        found = self.check(str(uuid.uuid4()))
        same("a resource that is not there", [found["allowed"], found["reason"]], [False, "Resource not found"])
        body = {"organization_id": ORG, "actor_type": "agent", "resource_id": self.model, "permission_type": "use"}
        refused("a check without its actor", self.http("POST", "/permissions/check", body), 400)
        body = {**body, "actor_id": AGENT, "actor_type": "ghost", "context": {}}
        refused("a check with an actor type that is none", self.http("POST", "/permissions/check", body), 400)

    def policy(self, **more):
        body = {
            "name": "small-%s" % uuid.uuid4().hex[:6],
            "description": "calls are small",
            "type": "access",
            "category": "cost",
            "priority": 10,
            "enabled": True,
            "policy_language": "cel",
            "policy_expr": "!has(context.request_tokens) || int(context.request_tokens) < 100",
            "organization_id": ORG,
        }
        return self.http("POST", "/policies", {**body, **more})

    def policies(self):
        status, made, _ = self.policy(tags=["a"], rules={"max": 100}, actions={"then": "deny"}, created_by="operator")
        same("POST /policies answers 201", status, 201)
        whole("a policy", made, objects.POLICY)
        same("rules are a string that holds JSON", json.loads(made["rules"]), {"max": 100})
        same("actions are a string that holds JSON", json.loads(made["actions"]), {"then": "deny"})
        one = "/policies/%d" % made["id"]
        same("GET /policies/{id}", self.http("GET", one)[1], made)
        same("a call within the policy", self.check(self.model, request_tokens=99)["allowed"], True)
        found = self.check(self.model, request_tokens=100)
        same(
            "a call against it",
            [found["allowed"], found["reason"]],
            [False, "Policy violation: " + made["name"]],
        )
        seen("policies were counted", found["metadata"]["policies_evaluated"] >= 1, found["metadata"])
        status, gateway, _ = self.http("GET", "/governance/policies?agent_id=%s&status=active" % AGENT)
        mine = [policy for policy in gateway["policies"] if policy["id"] == str(made["id"])]
        same("the gateway lists it", [status, len(mine)], [200, 1])
        whole("a gateway's policy", mine[0], objects.GATEWAY_POLICY)
        same(
            "as a match that denies",
            [mine[0]["policy_expression"], mine[0]["enforcement"]],
            ["!(%s)" % made["policy_expr"], "deny"],
        )
        for tokens, result in ((5, "allow"), (500, "deny")):
            status, told, _ = self.http(
                "POST",
                one + "/evaluate",
                {"context": {"request": {}, "actor": {}, "resource": {}, "context": {"request_tokens": tokens}}},
            )
            same("evaluate with %d tokens" % tokens, [status, told.get("result")], [200, result])
        whole("an evaluation", told, objects.EVALUATION)
        status, put, _ = self.http("PUT", one, {"enabled": False})
        same("PUT switches it off", [status, put["enabled"]], [200, False])
        same("and it decides no more", self.check(self.model, request_tokens=100)["allowed"], True)
        answer = self.policy(policy_expr="actor.trust_score >= 60.0 &&\n  actor.trust_scor >= 1.0")
        refused("a policy that does not type-check", answer, 422)
        told = json.dumps(answer[1])
        seen("with line and column", "line 2" in told and "column" in told, answer[1])
        refused("a policy that is no CEL", self.policy(policy_expr="1 +"), 422)
        refused("a new policy in another language", self.policy(policy_language="json", policy_expr="{}"), 422)
        status, rule, _ = self.policy(
            name="ask-" + RUN, policy_expr='action == "deploy"', enforcement="require_approval"
        )
        found = self.check(self.model, action="deploy")
        same("a rule that asks for approval", [found["allowed"], found["reason"]], [False, "Approval required: ask-" + RUN])
        status, listed, _ = self.http("GET", "/policies?enabled=true&type=access&category=cost")
        seen("policies are listed by filter", rule["id"] in [p["id"] for p in listed["policies"]], listed)
        same("DELETE answers 204", [self.http("DELETE", "/policies/%d" % p["id"])[0] for p in (rule, made)], [204, 204])
        refused("a policy that is gone", self.http("GET", one), 404)
        status, listed, _ = self.http("GET", "/policies?limit=1000")
        system = sorted((p for p in listed["policies"] if p["is_system_policy"]), key=lambda p: p["id"])
        same(
            "seven system policies, in order",
            [p["name"] for p in system],
            [
                "Block API Keys",
                "Block SSN",
                "Block Credit Cards",
                "Redact Email Addresses",
                "Block Private Keys",
                "Block Database Connection Strings",
                "Trust-Based Access Control",
            ],
        )
        whole("a system policy", system[3], objects.POLICY)
        same("its actions are a string", system[3]["actions"], '{"redact":["email"]}')
        same("one text", system[1]["policy_expr"], '!request.content.matches("\\\\d{3}-\\\\d{2}-\\\\d{4}")')
        refused("deleting a system policy", self.http("DELETE", "/policies/%d" % system[0]["id"]), 403)
        refused("changing a system policy", self.http("PUT", "/policies/%d" % system[0]["id"], {"enabled": False}), 403)
        content = {"context": {"request": {"content": "-".join(["212", "55", "4321"])}, "actor": {}, "resource": {}}}
        status, told, _ = self.http("POST", "/policies/%d/evaluate" % system[1]["id"], content)
        same("a system policy evaluates", [status, told.get("result")], [200, "deny"])

    def protocol(self):
        other = Resp(self.redis_url)
        hello = other("HELLO", "2")
        same("HELLO 2", hello[hello.index("proto") + 1], 2)
        version = [int(part) for part in hello[hello.index("version") + 1].split(".")[:2]]
        for words in (("CLIENT", "SETINFO", "LIB-NAME", "walk"), ("CLIENT", "SETINFO", "LIB-VER", "1.0")):
            (reply,) = other.pipeline(words)
            # Redis before 7.2 does not know it, and clients bear that.
            seen(" ".join(words), reply == "OK" or (version < [7, 2] and isinstance(reply, RedisFault)), reply)
        for words in (
            ("CLIENT", "SETNAME", "walk"),
            ("SELECT", "0"),
        ):
            same(" ".join(words), other(*words), "OK")
        same("PING", other("PING"), "PONG")
        seen("COMMAND answers a list", isinstance(other("COMMAND"), list))
        replies = other.pipeline(("NO-SUCH-THING", "x"), ("PING",))
        seen("an unknown command is an error reply", isinstance(replies[0], RedisFault), replies)
        same("and the connection stays", replies[1], "PONG")
        three = Resp(self.redis_url)
        hello = three("HELLO", "3")
        same("HELLO 3 answers a map", isinstance(hello, dict) and hello.get("proto"), 3)
        own = "walk:" + RUN
        replies = other.pipeline(
            ("MULTI",), ("XADD", own, "*", "n", "1"), ("XADD", own, "*", "n", "2"), ("EXEC",)
        )
        same("MULTI and EXEC in one pipeline", [replies[:3], len(replies[3])], [["OK", "QUEUED", "QUEUED"], 2])
        same("XLEN", other("XLEN", own), 2)
        same("XRANGE", [pairs(words)["n"] for _, words in other("XRANGE", own, "-", "+")], ["1", "2"])
        read = other("XREAD", "COUNT", "10", "STREAMS", own, "0")
        same("XREAD", [pairs(words)["n"] for _, words in read[0][1]], ["1", "2"])
        same("XGROUP CREATE", other("XGROUP", "CREATE", own, "mine", "0", "MKSTREAM"), "OK")
        read = other("XREADGROUP", "GROUP", "mine", "me", "COUNT", "1", "STREAMS", own, ">")
        first = read[0][1][0]
        same("XREADGROUP", pairs(first[1])["n"], "1")
        same("XACK", other("XACK", own, "mine", first[0]), 1)
        read = three("XREADGROUP", "GROUP", "mine", "me", "BLOCK", "1000", "STREAMS", own, ">")
        entries = read[own] if isinstance(read, dict) else read[0][1]
        same("XREADGROUP under RESP3", pairs(entries[0][1])["n"], "2")
        same("SET and GET", [other("SET", own + ":k", "v"), other("GET", own + ":k")], ["OK", "v"])
        other("DEL", own, own + ":k")
        other.close()
        three.close()

    def graduation(self):
        first = {"event_id": str(uuid.uuid4())}
        once = self.trust(**first)
        self.redis.pipeline(*([once, once] + [self.trust() for _ in range(3)]))
        same("successes in a pipeline, one of them twice: 48", until(lambda: self.score() == 48) and 48, 48)
        replies = self.redis.pipeline(("MULTI",), *[self.trust() for _ in range(6)], ("EXEC",))
        seen("successes in MULTI and EXEC", isinstance(replies[-1], list) and len(replies[-1]) == 6, replies)
        until(lambda: self.score() == 60)
        same("TRUST-4: ten successes take 40 to exactly 60", self.score(), 60)
        status, score, _ = self.http("GET", "/trust/score/%s?entity_type=agent" % AGENT)
        whole("the envelope of a score", score, objects.ENVELOPE)
        whole("a score", score["data"], objects.SCORE)
        refused("a score of nobody", self.http("GET", "/trust/score/nobody-" + RUN), 404)
        status, history, _ = self.http("GET", "/trust/history/%s?entity_type=agent&limit=3" % AGENT)
        whole("the envelope of a history", history, objects.ENVELOPE)
        whole("a history", history["data"], objects.HISTORY)
        same("as long as asked", len(history["data"]["events"]), 3)
        event = history["data"]["events"][0]
        whole("an event of a history", event, objects.HISTORY_EVENT)
        seen("its metadata is a string that holds JSON", isinstance(json.loads(event["metadata"]), dict), event)
        guarded, _ = self.granted("graduate-" + RUN, trust_tier_required=60)
        same("graduation opens what asks for 60", self.check(guarded)["allowed"], True)
        told = [f for _, f in self.entries("trust-events") if f["entity_id"] == AGENT]
        seen("trust-events tells", len(told) >= 10, len(told))
        for fields in told[-1:]:
            whole("an entry of trust-events", fields, objects.TRUST_EVENT)
        changes = [f for f in told if f["event_type"] == "trust_tier_changed"]
        seen(
            "one says that the tier changed",
            any([f["old_tier"], f["new_tier"]] == ["verified", "trusted"] for f in changes),
            changes,
        )

    def poison(self):
        before = self.score()
        dead = len(self.entries(DEAD))
        nan = json.dumps({"loss": float("nan")})
        bad = [
            ("NaN in the context", self.trust(context=nan)),
            ("an event_type that is none", self.trust(event_type="task_dreamt")),
            ("an impact that is no number", self.trust(impact="plenty")),
            ("no agent_id", self.trust(agent_id=None)),
            ("nothing at all that is known", ["XADD", TRUST, "*", "hello", "world"]),
        ]
        ids = dict(zip([what for what, _ in bad], self.redis.pipeline(*[entry for _, entry in bad])))
        self.redis(*self.trust())
        until(lambda: self.score() == before + 2)
        same("EVENT-6: the consumer goes on behind poison", self.score(), before + 2)
        until(lambda: len(self.entries(DEAD)) >= dead + len(bad))
        letters = {fields["entry_id"]: fields for _, fields in self.entries(DEAD)}
        for what, entry_id in ids.items():
            letter = letters.get(entry_id)
            seen("%s is a dead letter: %s" % (what, letter and letter["reason"]), letter is not None)
        letter = letters.get(ids["NaN in the context"])
        whole("a dead letter", letter, objects.DEAD_LETTER)
        seen("it holds the fields as JSON", "loss" in json.loads(letter["fields"])["context"], letter)
        same("and the stream's name", letter["stream"], TRUST)
        alerts = until(
            lambda: [f for _, f in self.entries("governance-events") if f.get("event_type") == "alert_raised"]
        )
        seen("a dead letter raises an alert", bool(alerts))

    def operator_trust(self):
        act = {
            "entity_id": AGENT,
            "entity_type": "agent",
            "event_type": "compliance",
            "impact": -2.5,
            "description": "an audit",
            "metadata": {"ticket": 7},
        }
        before = self.score()
        status, told, _ = self.http("POST", "/trust/evaluate", act)
        same("TRUST-7: an operator's impact is applied as given", [status, told["data"]["score"]], [200, before - 2.5])
        whole("its envelope", told, objects.ENVELOPE)
        refused("an impact finer than 0.1", self.http("POST", "/trust/evaluate", {**act, "impact": 0.05}), 400)
        refused("an impact above 100", self.http("POST", "/trust/evaluate", {**act, "impact": 101}), 400)
        refused("an event type that is none", self.http("POST", "/trust/evaluate", {**act, "event_type": "odd"}), 400)
        self.http("POST", "/trust/evaluate", {**act, "impact": 2.5})
        event = self.http("GET", "/trust/history/%s?entity_type=agent" % AGENT)[1]["data"]["events"]
        mine = [e for e in event if e["description"] == "an audit"]
        same("history keeps the metadata as a JSON string", json.loads(mine[0]["metadata"]).get("ticket"), 7)

    def faults_of_clients(self):
        actor = "odd-" + RUN
        self.redis.pipeline(
            self.trust(actor, timestamp=json.dumps(now())),
            self.trust(actor, timestamp=datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None).isoformat()),
            self.trust(actor, timestamp=None),
            self.trust(actor, timestamp="2024-05-06T07:08:09Z", event_id="same-" + RUN),
            self.trust(actor, timestamp="2024-05-06T07:08:09Z", event_id="same-" + RUN),
        )
        until(lambda: self.score(actor) == 48)
        events = self.http("GET", "/trust/history/%s?entity_type=agent" % actor)[1]["data"]["events"]
        seen(
            "a quoted timestamp, one without a zone, none, and a repetition are borne",
            len(events) == 4 and all(objects.TIME.match(e["timestamp"]) for e in events),
            events,
        )
        same(
            "a time without a zone is UTC, an old one is kept",
            [e["timestamp"][:19] for e in events if e["timestamp"].startswith("2024")],
            ["2024-05-06T07:08:09"],
        )
        whole("an event of an actor that only the stream knows", events[0], objects.HISTORY_EVENT)
        words = self.trust(actor, context={"repeated": RUN})
        before = self.score(actor)
        told = lambda: len(self.http("GET", "/trust/history/%s?entity_type=agent" % actor)[1]["data"]["events"])
        self.redis.pipeline(words, words, words)
        self.redis(*self.trust(actor, event_type="task_failed"))
        until(lambda: told() >= len(events) + 2)
        same("an entry without event_id that is repeated counts once", self.score(actor), before)
        same("the list of policies is answered at any rate", {self.http("GET", "/governance/policies")[0] for _ in range(20)}, {200})

    def feedback(self):
        response = str(uuid.uuid4())
        body = {
            "response_id": response,
            "agent_id": AGENT,
            "user_id": "user-1",
            "organization_id": ORG,
            "conversation_id": "c-1",
            "is_helpful": True,
            "star_rating": 5,
            "feedback_text": "well done",
            "feedback_category": "accuracy",
            "response_metadata": {"model": "m"},
            "user_metadata": {"plan": "free"},
        }
        before = self.score()
        status, told, _ = self.http("POST", "/feedback/submit", body)
        same("feedback answers 200 {success, feedback, message}", [status, told["success"], "message" in told], [200, True, True])
        record = told["feedback"]
        whole("a feedback record", record, objects.FEEDBACK)
        until(lambda: self.score() == before + 2)
        same("five stars are worth 2", self.score(), before + 2)
        refused("a second one by the same user", self.http("POST", "/feedback/submit", body), 400)
        nothing = {k: v for k, v in body.items() if k not in ("is_helpful", "star_rating")}
        refused("one without a rating", self.http("POST", "/feedback/submit", {**nothing, "user_id": "u9"}), 400)
        refused("six stars", self.http("POST", "/feedback/submit", {**body, "user_id": "u9", "star_rating": 6}), 400)
        short = {k: body[k] for k in ("response_id", "agent_id", "organization_id")}
        status, told, _ = self.http("POST", "/feedback/submit", {**short, "user_id": "user-2", "is_helpful": False})
        whole("a record with little in it", told["feedback"], objects.FEEDBACK)
        until(lambda: self.score() == before)
        same("not helpful costs 2", self.score(), before)
        status, stats, _ = self.http("GET", "/feedback/agent/%s/stats?days=30" % AGENT)
        same("stats answer {success, stats}", [status, stats["success"]], [200, True])
        whole("stats", stats["stats"], objects.STATS)
        same(
            "and count",
            [stats["stats"][k] for k in ("total_feedback", "helpful_count", "not_helpful_count", "helpful_percent", "avg_star_rating", "rating_count")],
            [2, 1, 1, 50, 5, 1],
        )
        status, one, _ = self.http("GET", "/feedback/%s" % record["id"])
        same("GET /feedback/{id}", [status, one["success"], one["feedback"]["id"]], [200, True, record["id"]])
        query = "/feedback?agent_id=%s&organization_id=%s" % (AGENT, ORG)
        status, listed, _ = self.http("GET", query)
        same("GET /feedback", [status, listed["success"], listed["total"], listed["limit"], listed["offset"]], [200, True, 2, 50, 0])
        same("by stars", self.http("GET", query + "&min_star_rating=5&max_star_rating=5")[1]["total"], 1)
        same("by user", self.http("GET", query + "&user_id=user-2")[1]["total"], 1)
        refused("a limit above 100", self.http("GET", query + "&limit=101"), 400)
        refused("a feedback that is not there", self.http("GET", "/feedback/999999999"), 404)

    def stream_feedback(self):
        execution = str(uuid.uuid4())
        actor = "fed-" + RUN
        self.redis(*self.trust(actor, context={"execution_id": execution}, execution_id=execution))
        until(lambda: self.score(actor) == 42)
        words = flat(
            {"execution_id": execution, "user_id": "u", "feedback_type": "thumbs_down", "comment": "no", "timestamp": now()}
        )
        self.redis(*(["XADD", "agion:events:feedback", "*"] + words))
        until(lambda: self.score(actor) == 40)
        same("thumbs down on an execution costs its agent 2", self.score(actor), 40)

    def interactions(self):
        execution = str(uuid.uuid4())
        fields = {
            "execution_id": execution,
            "agent_id": AGENT,
            "interaction_id": str(uuid.uuid4()),
            "timestamp": now(),
            "system_prompt": "be brief",
            "user_prompt": "hello",
            "model": "m",
            "provider": "p",
            "other_params": {},
            "response_text": "hi",
            "prompt_tokens": 3,
            "completion_tokens": 1,
            "total_tokens": 4,
            "latency_ms": 12.5,
            "cost_estimate": 0.0001,
            "metadata": {},
        }
        self.redis(*(["XADD", "agion:events:llm_interactions", "*"] + flat(fields)))
        found = until(
            lambda: [f for _, f in self.entries("llm-interaction-logs") if f["execution_id"] == execution]
        )
        seen("an LLM entry is handed on", bool(found))
        whole("an entry of llm-interaction-logs", found and found[0], objects.INTERACTION)
        decision = {
            "agent_id": AGENT,
            "action": "search",
            "actor_type": "agent",
            "resource_id": self.model,
            "resource_type": "ai_model",
            "permission_type": "use",
            "decision": "allow",
            "mode": "normal",
            "reason": "fine",
            "policies": [],
            "policy_version": 1,
            "args_digest": "d",
            "timestamp": now(),
        }
        dead = len(self.entries(DEAD))
        self.redis(*(["XADD", "agion:events:decisions", "*"] + flat(decision)))
        found = until(
            lambda: [
                f
                for _, f in self.entries("governance-events")
                if f.get("event_type") == "governance_decision" and f.get("actor_id") == AGENT
            ]
        )
        seen("a decision is told on governance-events", bool(found))
        whole("a governance_decision", found and found[-1], objects.GOVERNANCE_EVENTS["governance_decision"])
        mission = {
            "mission_id": "m-" + RUN,
            "event_type": "joined",
            "participant_id": AGENT,
            "data": {"role": "lead"},
            "timestamp": now(),
        }
        self.redis(*(["XADD", "agion:events:missions", "*"] + flat(mission)))
        status, told, _ = self.http("POST", "/missions", {"mission_id": "m2-" + RUN, "organization_id": ORG})
        seen("POST /missions answers", status in (201, 400, 409), "%s %s" % (status, told))
        same("nothing of this was a dead letter", len(self.entries(DEAD)), dead)

    def registry(self):
        for plural, by, name, shape, body in (
            (
                "prompts",
                "by-location",
                "location",
                objects.PROMPT,
                {"name": "p", "content": "Hello {who}", "variables": ["who"], "version": 1, "metadata": {}},
            ),
            (
                "models",
                "by-purpose",
                "purpose",
                objects.MODEL,
                {"name": "m", "provider": "p", "model_name": "m-1", "parameters": {"t": 0}, "credentials": {"k": "v"}},
            ),
        ):
            place = "%s-%s" % (name, RUN)
            status, made, _ = self.http("POST", "/" + plural, {**body, name: place, "organization_id": ORG})
            same("POST /%s answers 201" % plural, status, 201)
            status, found, _ = self.http("GET", "/%s/%s/%s?organization_id=%s" % (plural, by, place, ORG))
            same("GET /%s/%s" % (plural, by), status, 200)
            whole("a row of %s" % plural, found, shape)
            refused("%s of nothing" % plural, self.http("GET", "/%s/%s/none-%s" % (plural, by, RUN)), 404)
            one = "/%s/%s" % (plural, made["id"])
            same("PUT %s" % plural, self.http("PUT", one, {"name": "renamed"})[0], 200)
            same("DELETE %s" % plural, self.http("DELETE", one)[0], 204)
        body = {
            "organization_id": ORG,
            "name": "db-" + RUN,
            "resource_type": "database",
            "connection_string": "db://host/name",
            "credentials": {"user": "u"},
            "config": {"pool": 3},
        }
        status, made, _ = self.http("POST", "/resource-configs", body)
        same("POST /resource-configs answers 201", status, 201)
        status, found, _ = self.http("GET", "/resources/by-name/db-%s?organization_id=%s" % (RUN, ORG))
        same("GET /resources/by-name", [status, found.get("connection_string")], [200, "db://host/name"])
        whole("a resource config", found, objects.CONFIG)
        refused("a name that is none", self.http("GET", "/resources/by-name/none-" + RUN), 404)

    def audit(self):
        status, made, _ = self.http(
            "POST",
            "/audit/events",
            {
                "organization_id": ORG,
                "entity_id": AGENT,
                "entity_type": "agent",
                "event_type": "note",
                "action": "note",
                "description": "seen",
            },
        )
        seen("POST /audit/events logs one", status in (200, 201), "%s %s" % (status, made))
        status, listed, _ = self.http("GET", "/audit/events?organization_id=%s&entity_id=%s" % (ORG, AGENT))
        seen("GET /audit/events lists", status == 200 and listed.get("total", 0) > 0, "%s %s" % (status, listed))
        status, report, _ = self.http("GET", "/audit/compliance/%s?organization_id=%s" % (AGENT, ORG))
        same("GET /audit/compliance reports", status, 200)
        status, keys, _ = self.http("GET", "/signing-keys")
        same("GET /signing-keys", [status, keys["keys"][0]["algorithm"]], [200, "Ed25519"])
        status, summary, _ = self.http("GET", "/usage/summary?by=agent,model&organization_id=" + ORG)
        same("GET /usage/summary", status, 200)
        status, organization, _ = self.http("PUT", "/organizations/" + ORG, {"name": "Ours", "time_zone": "UTC"})
        same("PUT /organizations/{id}", [status, organization.get("name")], [200, "Ours"])

    def kill_switch(self):
        same("before the kill switch", self.check(self.model)["allowed"], True)
        status, agent, _ = self.http("PUT", "/agents/" + AGENT, {"status": "suspended"})
        same("PUT status suspended", [status, agent["status"]], [200, "suspended"])
        found = self.check(self.model)
        same("every check is denied at once", [found["allowed"], found["reason"]], [False, "Agent is suspended"])
        self.http("POST", "/agents/register", {"agent_id": AGENT, "version": "1.0.1", "status": "active", "registered_at": now()})
        same("registering takes no suspension back", self.check(self.model)["reason"], "Agent is suspended")
        self.http("PUT", "/agents/" + AGENT, {"status": "active"})
        same("PUT status active", self.check(self.model)["allowed"], True)

    def revocation(self):
        status, revoked, _ = self.http(
            "POST", "/permissions/%s/revoke" % self.permission, {"revoked_by": "boss", "reason": "over"}
        )
        same(
            "revoke answers 200, revoked",
            [status, revoked["status"], revoked["revoked_by"], revoked["revocation_reason"]],
            [200, "revoked", "boss", "over"],
        )
        whole("a revoked permission", revoked, objects.PERMISSION)
        found = self.check(self.model)
        same("and the next check is denied", [found["allowed"], found["reason"]], [False, "No approved permission found"])
        status, active, _ = self.http("GET", "/permissions/active?actor_id=" + AGENT)
        seen("it is active no more", self.permission not in [p["permission_id"] for p in active["permissions"]])
        status, again, _ = self.wish(self.model)
        same("requesting again re-opens it", [status, again["id"], again["status"], again["approved_by"]], [201, self.permission, "pending", None])

    def announced(self):
        until(lambda: self.told("permission_requested")[3:])
        for kind in ("requested", "denied", "approved", "revoked", "suspended"):
            told = self.told("permission_" + kind)
            seen("permission_%s was told" % kind, bool(told))
            whole("permission_" + kind, told and told[-1], objects.GOVERNANCE_EVENTS["permission"])
        for kind in ("created", "updated"):
            told = [f for f in self.told("resource_" + kind) if f["organization_id"] == ORG]
            seen("resource_%s was told" % kind, bool(told))
            whole("resource_" + kind, told and told[-1], objects.GOVERNANCE_EVENTS["resource"])

    def told(self, event_type):
        return [f for _, f in self.entries("governance-events") if f.get("event_type") == event_type]

    def pushed(self):
        """Pub/sub as arrays under RESP2 and as push frames under RESP3."""
        channels = ["agion:policy:updates", "policy-updates"]
        for version in ("2", "3"):
            ears = Resp(self.redis_url)
            ears("HELLO", version)
            ears.send(["SUBSCRIBE"] + channels)
            confirmed = [ears.read() for _ in channels]
            same(
                "SUBSCRIBE under RESP%s" % version,
                [[c[0], c[2], isinstance(c, Push)] for c in confirmed],
                [["subscribe", n + 1, version == "3"] for n in range(2)],
            )
            made = self.policy()[1]
            got = []
            while len(got) < len(channels):
                frame = ears.read()
                # A change of before may still be told.
                if str(json.loads(frame[2])["policy_id"]) == str(made["id"]):
                    got.append(frame)
            seen(
                "a policy is told on both channels",
                sorted(frame[1] for frame in got) == channels
                and all(frame[0] == "message" and isinstance(frame, Push) == (version == "3") for frame in got),
                got,
            )
            message = json.loads(got[0][2])
            same("as policy_updated with its id", [message["event"], str(message["policy_id"])], ["policy_updated", str(made["id"])])
            seen("with a time", objects.TIME.match(message["timestamp"]) is not None, message)
            self.http("DELETE", "/policies/%d" % made["id"])
            ears.close()
        ears = Resp(self.redis_url)
        ears.send(["SUBSCRIBE", "agion:epoch:" + ORG])
        ears.read()
        message = json.loads(ears.read()[2])
        seen("the epoch beats", {"previous", "epoch", "kind", "ids", "timestamp"} <= set(message), message)
        ears.close()

    def resource_removal(self):
        refused("deleting a resource with children", self.http("DELETE", "/resources/" + self.model), 409)
        status, nothing, _ = self.http("DELETE", "/resources/%s?cascade=true" % self.model)
        same("DELETE with cascade answers 204", [status, nothing], [204, None])
        refused("the child is gone", self.http("GET", "/resources/" + self.child), 404)
        refused("its permissions are gone", self.http("GET", "/permissions/" + self.permission), 404)
        told = until(lambda: [f for f in self.told("resource_deleted") if f["resource_id"] == self.model])
        whole("resource_deleted", told and told[-1], objects.GOVERNANCE_EVENTS["resource"])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python3 walk.py http://HOST:PORT redis://HOST:PORT")
    Walk(sys.argv[1], sys.argv[2]).run()
    print("%s: %d failed" % ("FAILED" if failed else "ok", len(failed)))
    sys.exit(1 if failed else 0)
