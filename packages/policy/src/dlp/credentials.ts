/**
 * Credentials that neither a prefix nor a name gives away: their shape, or the command to which they are given.
 */
import { isDrawn } from "./assignments.ts"
import type { Report } from "./Report.ts"
import { classes, isKeyBody } from "./randomness.ts"
import { fromBase64Url } from "./tokens.ts"
import { isPassword } from "./uris.ts"
import type { View } from "./View.ts"

const TELEGRAM = /AA[\w-]{32,35}(?![\w-])/y

/** `123456789:AA…`, a bot of Telegram; `at` is where the `:` stands. */
export const readTelegram = (view: View, report: Report, at: number): void => {
  const { text } = view
  TELEGRAM.lastIndex = at + 1
  if (!TELEGRAM.test(text)) return
  const to = TELEGRAM.lastIndex
  const number = /(?<![\w-])(?:bot)?(\d{8,10})$/.exec(text.slice(Math.max(0, at - 14), at))?.[1]
  if (number === undefined || !isKeyBody(text.slice(at + 3, to))) return
  report.add(view, "telegram-token", at - number.length, to, text.slice(at - number.length, to))
}

const DISCORD = /[MNO][A-Za-z\d]{22,27}\.[\w-]{6}\.[\w-]{27,38}(?![\w-])/y
const MAILCHIMP = /[0-9a-f]{32}-us\d{1,2}(?![\w-])/y

/** Keys that are noticed by the length of their first run of base64 characters, `[from, to)`. */
export const readRun = (view: View, report: Report, from: number, to: number): void => {
  const { text } = view
  if (text.charCodeAt(to) === 46) {
    DISCORD.lastIndex = from
    if (!DISCORD.test(text) || !/^\d{17,20}$/.test(fromBase64Url(text.slice(from, to)))) return
    const value = text.slice(from, DISCORD.lastIndex)
    if (classes(value.slice(to - from)) > 1) report.add(view, "discord-token", from, DISCORD.lastIndex, value)
    return
  }
  MAILCHIMP.lastIndex = from
  if (!MAILCHIMP.test(text)) return
  const value = text.slice(from, MAILCHIMP.lastIndex)
  if (isKeyBody(value.slice(0, 32))) report.add(view, "mailchimp-key", from, MAILCHIMP.lastIndex, value)
}

const USERINFO = /([^\s:@/"'<>`?#]{1,128})(?::([^\s@/"'<>`]{3,256}))?@[A-Za-z0-9[]/y

/** `https://user:password@host`, `https://token@host`; `at` is where the `://` stands. */
export const readWeb = (view: View, report: Report, at: number): void => {
  const { text } = view
  if (!/(?:https?|wss?)$/i.test(text.slice(Math.max(0, at - 5), at))) return
  USERINFO.lastIndex = at + 3
  const match = USERINFO.exec(text)
  if (match === null) return
  const [whole, user = "", password] = match
  const value = password ?? user
  if (
    !isDrawn(value, password === undefined ? 20 : 8) ||
    !isPassword(value, password === undefined ? "" : user)
  )
    return
  const end = at + 2 + whole.length - 1
  report.add(view, "url-credentials", end - value.length, end, value)
}

/** By the three letters with which a command begins: how a password is given to it. */
const COMMANDS: Readonly<Record<string, RegExp>> = {
  cur: /curl\s[^\n;|]{0,200}?(?:-u|--user)[ =]?["']?([^\s:"']{1,64}):([^\s"'@]{4,128})/y,
  mys: /mysql(?:dump|admin|import|show)?\s[^\n;|]{0,120}?()\s-p["']?([^\s"'=-][^\s"']{5,64})/y,
  mar: /mariadb(?:-dump|-admin)?\s[^\n;|]{0,120}?()\s-p["']?([^\s"'=-][^\s"']{5,64})/y,
  ssh: /sshpass\s+()-p\s*["']?([^\s"']{5,64})/y,
  red: /redis-cli\s[^\n;|]{0,120}?()\s(?:-a|--pass)\s+["']?([^\s"']{6,128})/y
}

/** The first three letters of the commands. */
export const commandStarts: ReadonlyArray<string> = Object.keys(COMMANDS)

/** A command that takes a password may begin at `at`, with the letters `start`. */
export const readCommand = (view: View, report: Report, start: string, at: number): void => {
  const pattern = COMMANDS[start]
  if (pattern === undefined || at < report.commandsFrom) return
  pattern.lastIndex = at
  const match = pattern.exec(view.text)
  if (match === null) return
  const [whole, user = "", password = ""] = match
  if (
    classes(password) < 2 ||
    !/\d/.test(password) ||
    !isPassword(password, user) ||
    /^[$%<{]|\$\(/.test(password)
  )
    return
  const end = at + whole.length
  report.commandsFrom = end
  report.add(view, "command-password", end - password.length, end, password)
}
