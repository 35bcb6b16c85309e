import type { Period } from '@agentos/contracts/ledger'
import { AgentError } from '@agentos/sdk'

const formats = new Map<string, Intl.DateTimeFormat>()

/** Names the window in which `now` lies: its balance is kept under this name, so a new window begins with nothing. */
export function periodKey(period: Period, timeZone: string, now: number): string {
  if (period === 'total') return 'total'
  const parts = Object.fromEntries(
    formatOf(timeZone)
      .formatToParts(now)
      .map(({ type, value }) => [type, value]),
  )
  const month = `${parts.year}-${parts.month}`
  if (period === 'month') return month
  const day = `${month}-${parts.day}`
  // The hour that a change to winter time repeats is one window of two hours.
  return period === 'day' ? day : `${day}T${parts.hour}`
}

export function assertTimeZone(timeZone: string): void {
  try {
    formatOf(timeZone)
  } catch (cause) {
    throw new AgentError('invalid_input', `timeZone: ${timeZone} is no IANA zone, as Europe/Berlin is one`, { cause })
  }
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone)
  if (!format) {
    format = new Intl.DateTimeFormat('en-CA', {
      timeZone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      hourCycle: 'h23',
    })
    formats.set(timeZone, format)
  }
  return format
}
