/** Policies for tests. */
import type { Policy, PolicyDecision } from "@agion/domain"

let ids = 100

/** An active policy; without `enforcement` a requirement. */
export const policy = (seed: {
  readonly name: string
  readonly expr: string
  readonly enforcement?: PolicyDecision
  readonly level?: Policy["enforcementLevel"]
  readonly resourceTypes?: ReadonlyArray<string>
  readonly redact?: ReadonlyArray<string>
}): Policy => ({
  id: ++ids,
  name: seed.name,
  description: "",
  type: "access",
  category: "test",
  priority: 10,
  enabled: true,
  policyLanguage: "cel",
  policyExpr: seed.expr,
  rules: null,
  actions: seed.redact === undefined ? null : JSON.stringify({ redact: seed.redact }),
  tags: [],
  isSystemPolicy: false,
  createdBy: null,
  updatedBy: null,
  createdAt: "2026-01-01T00:00:00.000Z",
  updatedAt: "2026-01-01T00:00:00.000Z",
  enforcement: seed.enforcement ?? null,
  enforcementLevel: seed.level ?? "hard",
  scope: seed.resourceTypes === undefined ? {} : { resourceTypes: seed.resourceTypes },
  status: "active",
  version: 1,
  organizationId: null
})
