/**
 * The same policies for other engines: each decides whether the calls of an agent are denied.
 *
 * Policies are `deny` rules written once as data: a resource type (or every one) and three comparisons.
 */
import { createRequire } from "node:module"
import { celEnv, isCelError, parse, plan } from "@bufbuild/cel"
import { AbilityBuilder, createMongoAbility, subject } from "@casl/ability"
import { Environment } from "@marcbachmann/cel-js"
import { PolicyEngine } from "@microsoft/agent-governance-sdk"
import { newEnforcer, newModelFromString, StringAdapter } from "casbin"
import * as celJs from "cel-js"

/** Denies when the type is right (or any) and all three comparisons hold. */
export interface Rule {
  readonly type: string | undefined
  readonly trustBelow: number
  readonly risk: string
  readonly tokensAbove: number
}

/** What is asked: a call of an agent on a resource. */
export interface Call {
  readonly actor: { readonly id: string; readonly trust_score: number; readonly tier: string }
  readonly resource: {
    readonly id: string
    readonly resource_type: string
    readonly risk_level: string
    readonly status: string
  }
  readonly request: { readonly tokens: number; readonly action: string }
  readonly context: { readonly hour: number }
  readonly agent_id: string
  readonly action: string
}

/** Whether a call is denied. */
export type Denies = (call: Call) => boolean

/** The condition in CEL; `.0` after whole numbers where an engine wants doubles. */
export const celOf = (r: Rule, point = "", withType = false): string => {
  const type = withType && r.type !== undefined ? `resource.resource_type == "${r.type}" && ` : ""
  return `${type}actor.trust_score < ${r.trustBelow}${point} && resource.risk_level == "${r.risk}" && request.tokens > ${r.tokensAbove}${point}`
}

/** The floor: what somebody would write by hand, all rules in turn. */
export const byHand =
  (rules: ReadonlyArray<Rule>): Denies =>
  (call) => {
    for (const r of rules) {
      if (
        (r.type === undefined || r.type === call.resource.resource_type) &&
        call.actor.trust_score < r.trustBelow &&
        call.resource.risk_level === r.risk &&
        call.request.tokens > r.tokensAbove
      ) {
        return true
      }
    }
    return false
  }

/** The floor with an index by type. */
export const byHandIndexed = (rules: ReadonlyArray<Rule>): Denies => {
  const byType = new Map<string | undefined, Array<Rule>>()
  for (const r of rules) byType.set(r.type, [...(byType.get(r.type) ?? []), r])
  const deciders = new Map([...byType].map(([type, list]) => [type, byHand(list)]))
  const never: Denies = () => false
  return (call) => (deciders.get(call.resource.resource_type) ?? never)(call)
}

export const marcbachmann = (rules: ReadonlyArray<Rule>): Denies => {
  const environment = new Environment({ unlistedVariablesAreDyn: true })
  const programs = rules.map((r) => environment.parse(celOf(r, ".0", true)))
  return (call) => {
    let denied = false
    for (const p of programs) if (p(call as never) === true) denied = true
    return denied
  }
}

export const bufbuild = (rules: ReadonlyArray<Rule>): Denies => {
  const environment = celEnv({})
  const programs = rules.map((r) => plan(environment, parse(celOf(r, ".0", true))))
  return (call) => {
    const bindings = Object.fromEntries(
      Object.entries(call).map(([k, v]) => [k, typeof v === "object" ? new Map(Object.entries(v)) : v])
    )
    let denied = false
    for (const p of programs) {
      const v = p(bindings as never)
      if (isCelError(v)) throw v
      if (v === true) denied = true
    }
    return denied
  }
}

export const celJsPeer = (rules: ReadonlyArray<Rule>): Denies => {
  const trees = rules.map((r) => {
    const parsed = celJs.parse(celOf(r, "", true))
    if (!parsed.isSuccess) throw new Error("cel-js does not parse the rule")
    return parsed.cst
  })
  return (call) => {
    let denied = false
    for (const tree of trees) if (celJs.evaluate(tree, call as never) === true) denied = true
    return denied
  }
}

export const casl = (rules: ReadonlyArray<Rule>): Denies => {
  const { can, cannot, build } = new AbilityBuilder(createMongoAbility)
  can("use", "all")
  for (const r of rules) {
    cannot("use", r.type ?? "all", {
      trust: { $lt: r.trustBelow },
      risk: r.risk,
      tokens: { $gt: r.tokensAbove }
    })
  }
  const ability = build()
  return (call) =>
    ability.cannot(
      "use",
      subject(call.resource.resource_type, {
        trust: call.actor.trust_score,
        risk: call.resource.risk_level,
        tokens: call.request.tokens
      })
    )
}

const MODEL = `
[request_definition]
r = sub, obj
[policy_definition]
p = type, rule, eft
[policy_effect]
e = !some(where (p.eft == deny))
[matchers]
m = (p.type == "*" || r.obj.type == p.type) && eval(p.rule)
`

export const casbin = async (rules: ReadonlyArray<Rule>): Promise<Denies> => {
  const lines = rules.map(
    (r) =>
      `p, ${r.type ?? "*"}, "r.sub.trust < ${r.trustBelow} && r.obj.risk == '${r.risk}' && r.sub.tokens > ${r.tokensAbove}", deny`
  )
  const enforcer = await newEnforcer(newModelFromString(MODEL), new StringAdapter(lines.join("\n")))
  return (call) =>
    !enforcer.enforceSync(
      { trust: call.actor.trust_score, tokens: call.request.tokens },
      { type: call.resource.resource_type, risk: call.resource.risk_level }
    )
}

interface Cedar {
  readonly preparsePolicySet: (
    id: string,
    policies: { readonly staticPolicies: string }
  ) => { readonly type: string }
  readonly statefulIsAuthorized: (call: object) => {
    readonly type: string
    readonly response?: { readonly decision: string }
  }
}

export const cedar = (rules: ReadonlyArray<Rule>, id: string): Denies => {
  const wasm = createRequire(import.meta.url)("@cedar-policy/cedar-wasm/nodejs") as Cedar
  const text = rules.map((r) => {
    const type = r.type === undefined ? "" : `context.type == "${r.type}" && `
    return `forbid(principal, action, resource) when { ${type}context.trust < ${r.trustBelow * 10} && context.risk == "${r.risk}" && context.tokens > ${r.tokensAbove} };`
  })
  const staticPolicies = ["permit(principal, action, resource);", ...text].join("\n")
  if (wasm.preparsePolicySet(id, { staticPolicies }).type !== "success")
    throw new Error("Cedar refuses the rules")
  return (call) => {
    const answer = wasm.statefulIsAuthorized({
      principal: { type: "Agent", id: call.agent_id },
      action: { type: "Action", id: call.action },
      resource: { type: "Resource", id: call.resource.id },
      context: {
        type: call.resource.resource_type,
        // Cedar has whole numbers: tenths of a point.
        trust: Math.round(call.actor.trust_score * 10),
        risk: call.resource.risk_level,
        tokens: call.request.tokens
      },
      preparsedPolicySetId: id,
      entities: []
    })
    if (answer.response === undefined) throw new Error("Cedar does not decide")
    return answer.response.decision === "deny"
  }
}

export const microsoft = (rules: ReadonlyArray<Rule>): Denies => {
  const engine = new PolicyEngine()
  engine.loadPolicy({
    name: "rules",
    default_action: "allow",
    agents: ["*"],
    rules: rules.map((r, i) => ({
      name: `rule-${i}`,
      ruleAction: "deny",
      condition: `${r.type === undefined ? "" : `resource_type == '${r.type}' and `}trust < ${r.trustBelow} and risk == '${r.risk}' and tokens > ${r.tokensAbove}`
    }))
  })
  return (call) =>
    !engine.evaluatePolicy(call.agent_id, {
      resource_type: call.resource.resource_type,
      trust: call.actor.trust_score,
      risk: call.resource.risk_level,
      tokens: call.request.tokens
    }).allowed
}
