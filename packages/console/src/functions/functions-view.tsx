import { useState } from 'preact/hooks'
import { plural } from '../shared/format.ts'
import { ProblemNote } from '../shared/problem-note.tsx'
import type { Resource } from '../shared/resource.ts'
import { functionHref } from '../shared/route.ts'
import { type Directory, groupsOf, type WorkerGroup } from './directory.ts'
import { FunctionPanel } from './function-panel.tsx'

interface FunctionsViewProps {
  directory: Resource<Directory>
  functionId?: string
}

export function FunctionsView({ directory: { value, problem, reload }, functionId }: FunctionsViewProps) {
  const [search, setSearch] = useState('')
  const groups = value ? groupsOf(value, search) : []
  const chosen = value?.functions.find((fn) => fn.id === functionId)
  const asleep = value?.workers.some(({ name, status }) => name === chosen?.worker && status === 'asleep') ?? false
  return (
    <main class="functions" data-chosen={functionId !== undefined}>
      <section class="directory" aria-label="Workers and functions">
        <div class="search">
          <input
            type="search"
            placeholder="Search workers and functions"
            aria-label="Search workers and functions"
            value={search}
            onInput={(event) => setSearch(event.currentTarget.value)}
          />
          <button type="button" onClick={reload}>
            Refresh
          </button>
        </div>
        {problem && <ProblemNote problem={problem} />}
        {value && groups.length === 0 && <p class="dim">Nothing has these words.</p>}
        {groups.map((group) => (
          <Group key={group.name} group={group} {...(functionId ? { chosen: functionId } : {})} />
        ))}
      </section>
      <section class="panel" aria-label="Function">
        {functionId !== undefined && (
          <a class="back" href="#functions">
            ← All functions
          </a>
        )}
        {chosen && <FunctionPanel key={chosen.id} fn={chosen} asleep={asleep} />}
        {!chosen && functionId !== undefined && value && (
          <p class="dim">
            There is no function <code>{functionId}</code> now.
          </p>
        )}
        {functionId === undefined && (
          <p class="dim placeholder">Choose a function to see what it takes, and to call it.</p>
        )}
      </section>
    </main>
  )
}

function Group({ group, chosen }: { group: WorkerGroup; chosen?: string }) {
  const { name, status, description, processes, functions } = group
  const busy = processes.reduce((sum, { inFlight }) => sum + inFlight, 0)
  return (
    <section class="group">
      <h2>
        <span class="light" data-status={status} role="img" aria-label={status} />
        {name}
        <span class="dim">
          {status === 'up' ? '' : status}
          {processes.length > 1 ? plural(processes.length, 'process').replace(/processs$/, 'processes') : ''}
          {busy > 0 ? ` ${plural(busy, 'call')} in flight` : ''}
        </span>
      </h2>
      {description && <p class="dim">{description}</p>}
      <ul>
        {functions.map((fn) => (
          <li key={fn.id}>
            <a href={functionHref(fn.id)} aria-current={fn.id === chosen} data-up={fn.up || status === 'asleep'}>
              <code>{fn.id}</code>
              <span>{fn.summary}</span>
            </a>
          </li>
        ))}
      </ul>
    </section>
  )
}
