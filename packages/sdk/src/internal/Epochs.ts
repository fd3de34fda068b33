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
  /** From which epoch on, up to `epoch`, each push has arrived; those before were taken for missed. */
  since: number
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
  since: 0,
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

/** What an agent needs to know of a push, or of a heartbeat. */
export interface Push {
  readonly previous: number
  readonly epoch: number
  /** Default: a heartbeat when the two epochs are one, else a change. */
  readonly kind?: string
}

/**
 * A push or a heartbeat has arrived, in whatever order, of what was so at `saidAt`. A change that has not arrived before
 * is never "nothing".
 */
export const onPush = (state: OrganizationEpoch, push: Push, saidAt: number): PushEffect => {
  const held = state.epoch
  const isChange = push.previous !== push.epoch || (push.kind ?? "heartbeat") !== "heartbeat"
  state.pushed = true
  if (held !== undefined && push.epoch < held) {
    // Heartbeats that keep naming an earlier epoch: the platform's data was set back.
    if (isChange || ++state.behind < wentBack)
      return isChange && !hasArrived(state, push) ? "drop named" : "nothing"
    return jump(state, push.epoch, saidAt)
  }
  state.behind = 0
  if (held === undefined || push.previous > held) return jump(state, push.epoch, saidAt)
  state.epoch = push.epoch
  confirm(state, saidAt)
  return isChange ? "drop named" : "nothing"
}

/** True when all that a late push names was named by pushes before it. */
const hasArrived = (state: OrganizationEpoch, push: Push): boolean =>
  push.previous < push.epoch && push.previous >= state.since

/** Pushes were missed on the way to an epoch. */
const jump = (state: OrganizationEpoch, epoch: number, at: number): PushEffect => {
  state.behind = 0
  state.epoch = epoch
  state.since = epoch
  confirm(state, at)
  return "drop all"
}

/** An answer that was asked for at `askedAt` has named an epoch. */
export const onAnswer = (state: OrganizationEpoch, epoch: number, askedAt: number): PushEffect => {
  if (epoch === state.epoch) {
    confirm(state, askedAt)
    return "nothing"
  }
  if (state.epoch !== undefined && (epoch < state.epoch || state.pushed)) return "nothing"
  return jump(state, epoch, askedAt)
}

/** The line is down: nothing is fresh until something confirms it (FRESH-4). */
export const onLost = (state: OrganizationEpoch): void => {
  state.pushed = false
  state.freshUntil = Number.NEGATIVE_INFINITY
}
