/**
 * What an agent knows of an organization's epoch: a pure core (FRESH-2 to FRESH-4).
 *
 * Times are milliseconds of a clock that only moves forward.
 */

/** How long a confirmed epoch lets a cached allow be used, milliseconds. */
export const freshFor = 3000

/** What is known of an organization's epoch. */
export interface OrganizationEpoch {
  /** The epoch up to which every push has been seen; undefined: none is known. */
  epoch: number | undefined
  /** Until when cached allows may be used without asking. */
  freshUntil: number
  /** When what is held was last known to be current. */
  confirmedAt: number
  /** Pushes arrive: a later epoch in an answer is then confirmed by them, and by nothing else. */
  pushed: boolean
  /** Heartbeats in a row that named an earlier epoch. */
  behind: number
}

/** So many heartbeats in a row with an earlier epoch mean that the platform's data went back. */
const wentBack = 3

/** Nothing is known. */
export const unknownEpoch = (): OrganizationEpoch => ({
  epoch: undefined,
  freshUntil: Number.NEGATIVE_INFINITY,
  confirmedAt: Number.NEGATIVE_INFINITY,
  pushed: false,
  behind: 0
})

const confirm = (state: OrganizationEpoch, at: number): void => {
  if (at > state.confirmedAt) state.confirmedAt = at
  if (at + freshFor > state.freshUntil) state.freshUntil = at + freshFor
}

/** What a cache must do after a push. */
export type PushEffect =
  /** Who held `previous` drops what the push names, and is confirmed. */
  | "drop named"
  /** Something was missed: all of the organization goes. */
  | "drop all"
  /** Known already. */
  | "nothing"

/** A push or a heartbeat has arrived. */
export const onPush = (
  state: OrganizationEpoch,
  push: { readonly previous: number; readonly epoch: number },
  now: number
): PushEffect => {
  const held = state.epoch
  state.pushed = true
  if (held !== undefined && push.epoch < held) {
    // A late message, unless heartbeats keep saying so: then the platform's data was set back.
    if (push.previous !== push.epoch || ++state.behind < wentBack) return "nothing"
  }
  state.behind = 0
  state.epoch = push.epoch
  confirm(state, now)
  if (held === push.previous) return "drop named"
  // A push that was overtaken by an answer made after it.
  if (held === push.epoch) return push.previous === push.epoch ? "nothing" : "drop named"
  return "drop all"
}

/** An answer that was asked for at `askedAt` has named an epoch. */
export const onAnswer = (state: OrganizationEpoch, epoch: number, askedAt: number): PushEffect => {
  if (state.epoch === undefined) {
    state.epoch = epoch
    confirm(state, askedAt)
    return "drop all"
  }
  if (epoch === state.epoch) {
    confirm(state, askedAt)
    return "nothing"
  }
  if (epoch < state.epoch || state.pushed) return "nothing"
  state.epoch = epoch
  confirm(state, askedAt)
  return "drop all"
}

/** The line is down: nothing is fresh until something confirms it (FRESH-4). */
export const onLost = (state: OrganizationEpoch): void => {
  state.pushed = false
  state.freshUntil = Number.NEGATIVE_INFINITY
}
