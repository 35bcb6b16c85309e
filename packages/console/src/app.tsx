import { pendingOf, useApprovals } from './approvals/approvals.ts'
import { ApprovalsView } from './approvals/approvals-view.tsx'
import { BudgetsView } from './budgets/budgets-view.tsx'
import { ChatView } from './chat/chat-view.tsx'
import { useConversation } from './chat/conversation.ts'
import { useDirectory } from './functions/directory.ts'
import { FunctionsView } from './functions/functions-view.tsx'
import { Header } from './header.tsx'
import { useModels } from './models/models.ts'
import { ModelsView } from './models/models-view.tsx'
import { RunsView } from './runs/runs-view.tsx'
import { SchedulesView } from './schedules/schedules-view.tsx'
import { ProblemNote } from './shared/problem-note.tsx'
import { useRoute } from './shared/route.ts'
import { GUEST_REALM, SessionContext, useNewSession, useSession } from './shared/session.ts'
import { SignIn, SignInDialog } from './shared/sign-in.tsx'

export function App() {
  const session = useNewSession()
  const { identity, problem, realm } = session
  return (
    <SessionContext.Provider value={session}>
      {identity ? (
        // What one sees depends on who one is, and where: another identity or realm begins with a new page.
        <Page key={`${identity.principal.kind} ${realm}`} />
      ) : (
        problem && (
          <main class="door">
            <h1>AgentOS</h1>
            {problem.code === 'unreachable' ? <ProblemNote problem={problem} /> : <SignIn />}
          </main>
        )
      )}
      <SignInDialog />
    </SessionContext.Provider>
  )
}

function Page() {
  const route = useRoute()
  const models = useModels([])
  const conversation = useConversation([])
  const directory = useDirectory([route.view])
  const { owner, realm } = useSession()
  const approvals = useApprovals(owner)
  const ofGuests = pendingOf(useApprovals(owner && realm !== GUEST_REALM, GUEST_REALM).value).length
  return (
    <>
      <Header view={route.view} models={models} waiting={pendingOf(approvals.value).length} ofGuests={ofGuests} />
      {route.view === 'chat' && <ChatView conversation={conversation} models={models} />}
      {route.view === 'runs' && <RunsView {...(route.runId ? { runId: route.runId } : {})} />}
      {route.view === 'schedules' && <SchedulesView {...(route.traceId ? { traceId: route.traceId } : {})} />}
      {route.view === 'approvals' && <ApprovalsView approvals={approvals} />}
      {route.view === 'budgets' && <BudgetsView />}
      {route.view === 'functions' && (
        <FunctionsView directory={directory} {...(route.functionId ? { functionId: route.functionId } : {})} />
      )}
      {route.view === 'models' && <ModelsView models={models} />}
    </>
  )
}
