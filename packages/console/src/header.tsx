import type { Models } from './models/models.ts'
import { RealmPicker } from './shared/realm-picker.tsx'
import type { Route } from './shared/route.ts'
import { GUEST_REALM, useSession } from './shared/session.ts'

const VIEWS = [
  ['chat', 'Chat'],
  ['runs', 'Runs'],
  ['schedules', 'Schedules'],
  ['approvals', 'Approvals'],
  ['budgets', 'Budgets'],
  ['functions', 'Functions'],
  ['models', 'Models'],
] as const

interface HeaderProps {
  view: Route['view']
  models: Models
  /** Approvals that wait here, and with agents of guests where one looks elsewhere. */
  waiting: number
  ofGuests: number
}

export function Header({ view, models, waiting, ofGuests }: HeaderProps) {
  return (
    <header class="top">
      <h1>
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <rect width="32" height="32" rx="8" />
          <path d="M9 9v14M9 12h14M13 17h10M17 22h6" />
        </svg>
        AgentOS
      </h1>
      <nav aria-label="Views">
        {VIEWS.map(([name, label]) => (
          <a key={name} href={`#${name}`} aria-current={view === name ? 'page' : undefined}>
            {label}
            {name === 'approvals' && waiting > 0 && <span class="count">{waiting}</span>}
          </a>
        ))}
      </nav>
      {models.known && (
        <a class="model-chip" href="#models" data-demo={models.demo || !models.inUse}>
          {models.label}
          {models.demo && <span class="dim"> no model connected</span>}
        </a>
      )}
      <Who ofGuests={ofGuests} />
    </header>
  )
}

function Who({ ofGuests }: { ofGuests: number }) {
  const { owner, problem, ask, leave, look } = useSession()
  return (
    <div class="who">
      {!owner && problem && <span class="field-problem">{problem.detail}</span>}
      {ofGuests > 0 && (
        <button type="button" class="link" onClick={() => look(GUEST_REALM)}>
          {ofGuests === 1 ? '1 waits' : `${ofGuests} wait`} in the realm of guests
        </button>
      )}
      {owner && <RealmPicker />}
      <span class="dim">{owner ? 'Owner' : 'Guest'}</span>
      {owner ? (
        <button type="button" class="link" onClick={() => void leave()}>
          Sign out
        </button>
      ) : (
        <button type="button" onClick={() => ask(true)}>
          Enter code
        </button>
      )}
    </div>
  )
}
