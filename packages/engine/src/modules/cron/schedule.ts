import { EngineError } from '@agentos/protocol'
import { Cron } from 'croner'

const SHORTHANDS: Record<string, string> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

/** The fields of the longest form; shorter ones leave out the year, then the seconds. */
const FIELDS = ['second', 'minute', 'hour', 'day of month', 'month', 'day of week', 'year'] as const
const LAST: Record<(typeof FIELDS)[number], number> = {
  second: 59,
  minute: 59,
  hour: 23,
  'day of month': 31,
  month: 12,
  'day of week': 7,
  year: 2100,
}
const NAMED = { month: '[a-z]{3}|', 'day of week': '[a-z]{3}|' } as Partial<Record<string, string>>

/** After a long downtime it is not worth knowing exactly how many were missed. */
const MAX_COUNTED = 500

/**
 * When something is due. Five fields are Unix's: Sunday is 0 or 7, and day of month OR day of week has to match. Six and
 * seven are the protocol's: seconds first, year last, Sunday is 1, and both days have to match. UTC unless told.
 */
export class Schedule {
  private readonly cron: Cron

  /** Throws `trigger_registration_failed`, saying what to write instead. */
  constructor(expression: string, timezone = 'UTC') {
    const fields = fieldsOf(expression)
    const unix = fields.length === 5
    const names = unix ? FIELDS.slice(1, 6) : FIELDS.slice(0, fields.length)
    const pattern = fields.map((field, index) => checked(field, names[index]!, unix, expression)).join(' ')
    try {
      this.cron = new Cron(pattern, {
        paused: true,
        timezone,
        alternativeWeekdays: !unix,
        domAndDow: !unix,
      })
      this.cron.nextRun(new Date(0))
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message.replace(/^Cron\w+: /, '') : String(cause)
      throw refused(expression, reason.includes('timezone') ? `'${timezone}' is no IANA time zone` : reason, cause)
    }
  }

  /** First due time after this one, in epoch milliseconds; nothing where no time is left. */
  next(after: number): number | undefined {
    return this.cron.nextRun(new Date(after))?.getTime()
  }

  /** Latest due time in (`after`, `until`], and how many lie before it in there (counted up to 500). */
  latest(after: number, until: number): { due: number; skipped: number } | undefined {
    const due = this.cron.previousRuns(1, new Date(until + 1))[0]?.getTime()
    if (due === undefined || due <= after) return undefined
    let skipped = 0
    for (let at = this.next(after); at !== undefined && at < due && skipped < MAX_COUNTED; at = this.next(at)) {
      skipped += 1
    }
    return { due, skipped }
  }
}

function fieldsOf(expression: string): string[] {
  const text = expression.trim()
  const fields = (text.startsWith('@') ? (SHORTHANDS[text.toLowerCase()] ?? text) : text).split(/\s+/)
  if (fields.length >= 5 && fields.length <= 7) return fields
  throw refused(
    expression,
    `it has ${fields.length} field${fields.length === 1 ? '' : 's'}; write 5 (minute hour day month weekday), ` +
      '6 (with seconds first), 7 (with the year last) or @hourly, @daily, @weekly, @monthly, @yearly',
  )
}

/** Holds a field to the grammar, and writes what croner has no word for in its own. */
function checked(field: string, name: (typeof FIELDS)[number], unix: boolean, expression: string): string {
  const value = `(?:${NAMED[name] ?? ''}\\d{1,4})`
  const any = name.startsWith('day') ? '[*?]' : '\\*'
  const item = new RegExp(`^(?:(${any})|(${value})(?:-(${value}))?)(?:/(\\d{1,4}))?$`, 'i')
  const parts = field.split(',').map((part) => {
    const match = item.exec(part)
    if (!match || match[4] === '0') throw refused(expression, `'${part}' is not a valid ${name}`)
    const [, wildcard, from, to, step] = match
    if (wildcard !== undefined) return step === undefined ? '*' : `*/${step}`
    if (to !== undefined || step === undefined) return part
    const last = unix && name === 'day of week' ? 6 : LAST[name]
    return `${from}-${last}/${step}`
  })
  return parts.join(',')
}

function refused(expression: string, reason: string, cause?: unknown): EngineError {
  return new EngineError('trigger_registration_failed', `The cron expression '${expression}' is not valid: ${reason}`, {
    cause,
  })
}
