/** What a call asks for, in the units that limits count in. */
import type { Amounts } from "@agion/domain"
import { PermissionCheck } from "@agion/policy"
import type { Asked } from "./Checks.ts"

const noContext: PermissionCheck.View = {}

const amount = (value: unknown): number | null =>
  typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null

const whole = (value: number | null): number | null =>
  value === null ? null : Math.min(Math.ceil(value), Number.MAX_SAFE_INTEGER)

const maxMicroUsd = 9_000_000_000_000_000

/** Micro-dollars of an amount in US dollars. */
export const microOrNull = (usd: number | null | undefined): number | null =>
  usd == null ? null : Math.min(PermissionCheck.microUsd(usd), maxMicroUsd)

/** Micro-dollars of a limit in US dollars. */
export const limitMicroOrNull = (usd: number | null | undefined): number | null =>
  usd == null ? null : Math.min(PermissionCheck.limitMicroUsd(usd), maxMicroUsd)

/** The call that a check is about. */
export const callOf = (asked: Asked): PermissionCheck.Call => {
  const context = asked.context ?? noContext
  return {
    permissionType: asked.permissionType,
    requests: 1,
    tokens: whole(amount(context["request_tokens"])),
    costMicroUsd: microOrNull(amount(context["estimated_cost"])),
    context
  }
}

/** The same with the amounts that a reservation names. */
export const reserveCall = (asked: Asked, amounts: Amounts): PermissionCheck.Call => {
  const call = callOf(asked)
  return {
    ...call,
    requests: amounts.requests ?? 1,
    tokens: amounts.tokens ?? call.tokens,
    costMicroUsd: microOrNull(amounts.costUsd) ?? call.costMicroUsd
  }
}
