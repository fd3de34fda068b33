/** The contract's error body, as text: `{"error", "message", "details", "timestamp"}`. */

const words: { readonly [status: number]: string } = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  413: "Payload Too Large",
  415: "Unsupported Media Type",
  417: "Expectation Failed",
  422: "Unprocessable Entity",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable"
}

/** What an answer of this status is called. */
export const statusWord = (status: number): string =>
  words[status] ?? (status < 500 ? "Bad Request" : "Internal Server Error")

/** A refusal in the contract's form, at a time in epoch milliseconds. */
export const errorText = (status: number, message: string, now: number, details = ""): string =>
  JSON.stringify({ error: statusWord(status), message, details, timestamp: new Date(now).toISOString() })
