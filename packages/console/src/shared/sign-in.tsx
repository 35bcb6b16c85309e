import { useEffect, useRef, useState } from 'preact/hooks'
import { type Problem, problemOf } from './problem.ts'
import { useSession } from './session.ts'

/** Takes the one-time code that the terminal printed. */
export function SignIn() {
  const { enter, problem: sessionProblem, identity } = useSession()
  const [problem, setProblem] = useState<Problem>()
  const [busy, setBusy] = useState(false)
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => input.current?.focus(), [])
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault()
    setBusy(true)
    setProblem(undefined)
    await enter(input.current?.value ?? '').catch((error: unknown) => setProblem(problemOf(error)))
    setBusy(false)
  }
  // A first visit without a code is no failure; a code of the address that was refused is.
  const shown = problem ?? (sessionProblem?.code === 'unauthorized' && !identity ? undefined : sessionProblem)
  return (
    <form class="sign-in" onSubmit={submit}>
      <h2>Enter the one-time code</h2>
      <p>
        <code>npm start</code> printed it at the end of the page's address. In another terminal,{' '}
        <code>npm run agentos -- open</code> makes a new one.
      </p>
      <label>
        Code
        <input ref={input} name="code" required autocomplete="off" spellcheck={false} placeholder="XXXX-XXXX-XXXX" />
      </label>
      {shown && (
        <p class="field-problem" role="alert">
          {shown.detail}
        </p>
      )}
      <button type="submit" class="primary" disabled={busy}>
        {busy ? 'Checking…' : 'Enter'}
      </button>
      <p class="dim">The code says that you are the owner: who may paste keys, and call what is not for guests.</p>
    </form>
  )
}

/** The same over the page, for a guest who wants more. */
export function SignInDialog() {
  const { asking, ask } = useSession()
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    if (asking) dialog.current?.showModal()
    else dialog.current?.close()
  }, [asking])
  return (
    <dialog ref={dialog} onClose={() => ask(false)} aria-label="Enter the one-time code">
      {asking && <SignIn />}
      <button type="button" class="close" aria-label="Close" onClick={() => ask(false)}>
        ×
      </button>
    </dialog>
  )
}
