"""What the contract lists of every object: a field's name, its type; `?` says that it may be null."""

import re

UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$")


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


KINDS = {
    "string": lambda v: isinstance(v, str),
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": is_number,
    "bool": lambda v: isinstance(v, bool),
    "object": lambda v: isinstance(v, dict),
    "list": lambda v: isinstance(v, list),
    "strings": lambda v: isinstance(v, list) and all(isinstance(item, str) for item in v),
    "uuid": lambda v: isinstance(v, str) and UUID.match(v) is not None,
    "time": lambda v: isinstance(v, str) and TIME.match(v) is not None,
}


def fields(text):
    """`name:type` words, each with `?` behind the name when it may be null."""
    return dict(word.split(":") for word in text.split())


RESOURCE = fields(
    """id:uuid organization_id:string resource_type:string parent_resource_id?:uuid name:string description?:string
    resource_data:object compliance_labels:strings data_residency?:string trust_tier_required:int risk_level:string
    status:string health_status:string health_check_at?:time health_message?:string tags:strings metadata:object
    created_by?:string updated_by?:string created_at:time updated_at:time"""
)
PERMISSION = fields(
    """id:uuid actor_id:string actor_type:string resource_id:uuid permission_type:string status:string purpose:string
    justification?:string constraints:object usage_tracking:object requested_by?:string requested_at:time
    approved_by?:string approved_at?:time approval_notes?:string revoked_by?:string revoked_at?:time
    revocation_reason?:string created_at:time updated_at:time"""
)
USAGE_TRACKING = fields(
    """total_requests:int total_tokens:int total_cost_usd:number current_day_requests:int current_day_tokens:int
    current_day_cost_usd:number"""
)
ACTIVE = fields(
    """permission_id:uuid actor_id:string actor_type:string permission_type:string status:string resource_name:string
    resource_type:string compliance_labels:strings constraints:object usage_tracking:object approved_at:time
    created_at:time"""
)
POLICY = fields(
    """id:int name:string description:string type:string category:string priority:int enabled:bool
    policy_language:string policy_expr?:string rules?:string actions?:string tags:strings is_system_policy:bool
    created_by?:string updated_by?:string created_at:time updated_at:time"""
)
GATEWAY_POLICY = fields(
    """id:string name:string policy_expression:string enforcement:string enforcement_level:string priority:int
    description:string category:string scope?:object owner?:string"""
)
EVALUATION = fields("policy_id:string result:string reason?:string timestamp:time")
CHECK = fields("allowed:bool reason:string timestamp:time permission?:object constraints:object metadata:object")
CHECK_METADATA = fields(
    "trust_score_checked:number trust_score?:number policies_evaluated:int decision_id:uuid"
)
ENVELOPE = fields("success:bool data:object message:string timestamp:time")
SCORE = fields(
    """id:int entity_id:string entity_type:string score:number reputation_score:number behavior_score:number
    compliance_score:number last_updated:time created_at:time"""
)
HISTORY = fields("entity_id:string entity_type:string events:list count:int")
HISTORY_EVENT = fields(
    """id:int entity_id:string entity_type:string event_type:string impact:number description:string metadata:string
    timestamp:time created_at:time"""
)
FEEDBACK = fields(
    """id:any response_id:string conversation_id?:string agent_id:string user_id:string organization_id:string
    is_helpful?:bool star_rating?:int feedback_text?:string feedback_category?:string
    trust_impact_calculated?:number trust_event_id?:any applied_at?:time review_status:string reviewed_by?:string
    reviewed_at?:time review_notes?:string response_metadata?:object user_metadata?:object created_at:time
    updated_at:time"""
)
STATS = fields(
    """agent_id:string total_feedback:int helpful_count:int not_helpful_count:int helpful_percent:number
    avg_star_rating:number rating_count:int total_trust_impact:number pending_reviews:int flagged_reviews:int"""
)
AGENT = fields(
    """agent_id:string container_id?:string name:string type:string version:string framework?:string model?:string
    capabilities:strings endpoints:object status:string metadata:object last_seen_at?:time"""
)
PROMPT = fields("id:string name:string content:string variables:any version:any metadata:object")
MODEL = fields(
    "id:string name:string provider:string model_name:string parameters:object credentials?:object metadata:object"
)
CONFIG = fields(
    """id:string name:string resource_type:string connection_string?:string credentials?:object config:object
    metadata:object"""
)
ERROR = fields("error:string message:string details:string timestamp:time")
TRUST_EVENT = fields(
    """event_id:string event_type:string entity_id:string entity_type:string old_score:string new_score:string
    old_tier:string new_tier:string tier:string reason:string update_type:string metadata:string timestamp:time"""
)
GOVERNANCE_EVENTS = {
    "governance_decision": fields(
        """event_id:string rule_id:string action:string category:string actor_id:string actor_type:string
        resource_id:string resource_type:string decision:string reason:string metadata:string timestamp:time"""
    ),
    "permission": fields(
        """event_id:string permission_id:uuid actor_id:string actor_type:string resource_id:uuid
        permission_type:string old_status:string new_status:string changed_by:string reason:string metadata:string
        timestamp:time"""
    ),
    "resource": fields(
        """event_id:string resource_id:uuid organization_id:string resource_type:string resource_name:string
        action:string changed_by:string changes:string timestamp:time"""
    ),
}
INTERACTION = fields(
    """event_id:string organization_id:string execution_id:string agent_id:string interaction_id:string timestamp:time
    system_prompt:string user_prompt:string model:string provider:string other_params:string response_text:string
    latency_ms:string metadata:string"""
)
DEAD_LETTER = fields("stream:string entry_id:string reason:string fields:string timestamp:time")


def faults(value, shape):
    """What a value lacks of a shape, as words; none when it is whole."""
    if not isinstance(value, dict):
        return ["%r is no object" % (value,)]
    found = []
    for name, kind in shape.items():
        key = name.rstrip("?")
        if key not in value:
            found.append("%s is missing" % key)
        elif value[key] is None:
            if not name.endswith("?"):
                found.append("%s is null" % key)
        elif kind != "any" and not KINDS[kind](value[key]):
            found.append("%s is %r, no %s" % (key, value[key], kind))
    return found
