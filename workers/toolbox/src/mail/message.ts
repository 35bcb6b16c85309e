import type { emailDraft } from '@agentos/contracts/toolbox'
import { AgentError, type ParsedInputOf } from '@agentos/sdk'

export interface Letter {
  to: string[]
  cc: string[]
  bcc: string[]
  replyTo?: string
  subject: string
  text: string
  html?: string
}

/** `name@host`, or `Name <name@host>`. Quoted local parts and comments are left to others. */
const PLAIN =
  /^[^\s@<>()[\],;:"\\]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i
const NAMED = /^([^<>@",;:\\]{0,100})<([^<>]+)>$/

/** Reads what a caller gave; anything that could become a header or a second address is refused. */
export function readLetter(input: ParsedInputOf<typeof emailDraft>, maxRecipients: number): Letter {
  const [to, cc, bcc] = [list(input.to), list(input.cc), list(input.bcc)]
  const letter: Letter = {
    ...{ to: to.map(readAddress), cc: cc.map(readAddress), bcc: bcc.map(readAddress) },
    subject: oneLine(input.subject, 'subject'),
    text: input.text,
    ...(input.replyTo === undefined ? {} : { replyTo: readAddress(input.replyTo) }),
    ...(input.html === undefined ? {} : { html: input.html }),
  }
  const count = recipientsOf(letter).length
  if (count === 0) throw new AgentError('invalid_input', 'to: a mail needs a recipient')
  if (count > maxRecipients) {
    throw new AgentError('invalid_input', `to: a mail may have ${maxRecipients} recipients here, not ${count}`)
  }
  return letter
}

/** Each address once, without its name. */
export function recipientsOf({ to, cc, bcc }: Letter): string[] {
  return [...new Set([...to, ...cc, ...bcc].map(bareAddress))]
}

export function bareAddress(address: string): string {
  return NAMED.exec(address)?.[2] ?? address
}

function readAddress(text: string): string {
  const address = oneLine(text, 'address').trim()
  const bare = bareAddress(address)
  if (!PLAIN.test(bare) || bare.length > 254) {
    throw new AgentError('invalid_input', `to: ${JSON.stringify(text.slice(0, 100))} is no e-mail address`)
  }
  return address
}

function oneLine(text: string, what: string): string {
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)) throw new AgentError('invalid_input', `${what}: this has to be one line`)
  return text
}

function list(value: string | string[] | undefined): string[] {
  return value === undefined ? [] : typeof value === 'string' ? [value] : value
}
