/** What a rule is about. */
export type Family = 'override' | 'role_change' | 'exfiltration' | 'delimiter' | 'tool_coercion' | 'hidden'

export interface Rule {
  id: string
  family: Family
  /** What a match adds to the risk score. */
  weight: number
  /** Looked for in lower-case text without accents, look-alikes or invisible characters; lines stay apart. */
  pattern: RegExp
}

const BEFORE = '(?:previous|above|prior|preceding|earlier|former|existing|initial|original)'
const ORDERS = '(?:instructions?|prompts?|rules|directives?|guidelines?|commands?|messages?|orders?|constraints?)'

/**
 * Rules are data: a new one needs an id, a weight and a test. Quantifiers are bounded, so that no text can make a match
 * slow. The nine of weight 0.25 marked "pinned" are the catalogue's, widened and with their known false alarms taken out.
 */
export const rules: readonly Rule[] = [
  // Override of what the model was told. The first, sixth and seventh are pinned.
  rule(
    'override.ignore',
    'override',
    0.25,
    `\\b(?:ignore|skip|drop|bypass)\\s+(?:(?:all|any|every|each|of|the|my|your|these|those|and)\\s+){0,5}${BEFORE}\\s+(?:\\w+\\s+){0,2}${ORDERS}\\b`,
  ),
  rule('override.disregard', 'override', 0.25, '\\bdisregard\\s+(?:your|all|any|the|every(?:thing)?)\\b'),
  rule('override.override', 'override', 0.25, '\\boverride\\s+(?:your|system|the\\s+system|all|safety)\\b'),
  rule(
    'override.forget',
    'override',
    0.25,
    `\\bforget\\s+(?:(?:everything|all|anything|whatever)(?:\\s+(?:that|you|of|the|was|were|have|been|i|said|told|know)){0,6}\\s*(?:above|before|previously|so\\s+far|${BEFORE})?|(?:(?:all|the|your|any|of)\\s+){0,3}${BEFORE}\\s+${ORDERS}|your\\s+(?:instructions|rules|guidelines|training))\\b`,
  ),
  rule(
    'override.do_not_follow',
    'override',
    0.25,
    `\\b(?:do\\s+not|don't|stop|never)\\s+(?:follow|obey|listen\\s+to|adhere\\s+to|following|obeying)\\s+(?:(?:all|any|of|the|your)\\s+){0,3}(?:${BEFORE}\\s+)?${ORDERS}\\b`,
  ),
  rule(
    'override.new_orders',
    'override',
    0.2,
    `\\b(?:(?:here\\s+are|these\\s+are|follow)\\s+(?:your|my|the)\\s+new|your\\s+new)\\s+(?:system\\s+)?${ORDERS}\\b`,
  ),
  rule(
    'override.other_languages',
    'override',
    0.25,
    '\\b(?:ignorier\\w{0,3}|vergiss|missachte)\\s+(?:\\w+\\s+){0,3}(?:anweisungen|instruktionen|vorgaben|regeln)\\b|\\b(?:ignore[zr]?|oublie[zr]?)\\s+(?:\\w+\\s+){0,3}(?:instructions|consignes|regles)\\s+(?:precedentes|ci-dessus|anterieures)\\b|\\b(?:ignor[ae]|olvida|olvide)\\s+(?:\\w+\\s+){0,3}(?:instrucciones|reglas|indicaciones|ordenes)\\b|\\b(?:ignor[ae]|dimentica)\\s+(?:\\w+\\s+){0,3}(?:istruzioni|regole)\\b|\\b(?:ignor[ae]|esqueca)\\s+(?:\\w+\\s+){0,3}(?:instrucoes|regras)\\b|\\b(?:negeer|vergeet)\\s+(?:\\w+\\s+){0,3}(?:instructies|regels)\\b',
  ),
  rule(
    'override.other_scripts',
    'override',
    0.25,
    '(?:忽略|无视|無視|忘记|忘記).{0,12}(?:指令|指示|提示|规则|規則|说明)|(?:指示|命令|ルール).{0,6}(?:無視|忘れ)|(?:игнорируй|забудь)(?:те)?\\s+(?:\\S+\\s+){0,3}(?:инструкци|указани|правил)|(?:이전|위의?).{0,8}(?:지시|명령).{0,6}무시',
  ),

  // Another role. `you are now`, `pretend`, `act as if`, DAN and `jailbreak` are pinned.
  rule(
    'role_change.you_are_now',
    'role_change',
    0.25,
    '\\byou\\s+are\\s+now\\s+(?!(?:connected|logged|signed|subscribed|registered|enrolled|ready|able|at|on|leaving|entering|viewing|online|offline|here|done|finished|eligible|using|running|allowed\\s+to\\s+(?:leave|enter)|part|one|being|redirected|following|watching|reading|set\\s+up)\\b)',
  ),
  rule(
    'role_change.pretend',
    'role_change',
    0.25,
    '\\bpretend\\s+(?:that\\s+)?you\\s+are\\b|\\bpretend\\s+to\\s+be\\s+(?:an?\\s+)?(?:unrestricted|unfiltered|evil|different|another)\\b',
  ),
  rule(
    'role_change.act_as_if',
    'role_change',
    0.25,
    '\\bact\\s+as\\s+if\\s+you\\b|\\bact\\s+as\\s+(?:an?\\s+)?(?:unrestricted|unfiltered|uncensored|jailbroken|root|administrator)\\b',
  ),
  rule('role_change.dan', 'role_change', 0.25, '\\bdan\\b[^\\n]{0,80}\\bmode\\b|\\bdo\\s+anything\\s+now\\b'),
  rule('role_change.jailbreak', 'role_change', 0.25, 'jail\\s?break'),
  rule(
    'role_change.special_mode',
    'role_change',
    0.25,
    '\\b(?:enter|enable|activate|switch\\s+(?:in)?to|you\\s+are\\s+in)\\s+(?:the\\s+)?(?:developer|debug|god|admin(?:istrator)?|unrestricted|unfiltered|maintenance|sudo)\\s+mode\\b',
  ),
  rule(
    'role_change.no_limits',
    'role_change',
    0.2,
    '\\b(?:you\\s+have|there\\s+are|with|without)\\s+(?:no\\s+|any\\s+)(?:restrictions|ethical\\s+guidelines|content\\s+polic(?:y|ies)|safety\\s+(?:rules|guidelines|filters?))\\b',
  ),

  // Secrets and prompts that should go out.
  rule(
    'exfiltration.prompt',
    'exfiltration',
    0.25,
    '\\b(?:reveal|print|show|repeat|output|display|leak|tell\\s+me|give\\s+me|what\\s+(?:is|are|was|were))\\s+(?:(?:me|us|verbatim|exactly|the|your|full|entire|complete|whole|initial|original|hidden|secret)\\s+){1,5}(?:system\\s+prompt|system\\s+message|hidden\\s+(?:prompt|instructions)|initial\\s+(?:prompt|instructions)|instructions\\s+(?:above|you\\s+were\\s+given)|instructions\\s+verbatim)\\b',
  ),
  rule(
    'exfiltration.above',
    'exfiltration',
    0.25,
    '\\b(?:repeat|print|output|copy)\\s+(?:everything|all|the\\s+(?:text|words|content))\\s+(?:that\\s+is\\s+|written\\s+)?(?:above|before\\s+this)\\b',
  ),
  rule(
    'exfiltration.secrets',
    'exfiltration',
    0.3,
    '\\b(?:send|post|forward|upload|email|mail|exfiltrate|leak|transmit|append|include)\\s+(?:\\w+\\s+){0,5}(?:api\\s?keys?|passwords?|credentials|tokens|secrets|private\\s+keys?|environment\\s+variables|(?:conversation|chat)\\s+history)\\s+(?:\\w+\\s+){0,4}(?:to|at|into|via)\\b',
  ),
  rule(
    'exfiltration.link',
    'exfiltration',
    0.3,
    '!\\[[^\\]\\n]{0,100}\\]\\(https?:\\/\\/[^)\\s]{0,200}[?&][^)\\s=]{1,40}=(?:\\{|\\[|<|%7b|\\$|(?:secret|token|key|prompt|data|history|conversation))',
  ),

  // Text that plays another part of the conversation. `system:` is pinned; in the middle of a sentence it means nothing.
  rule(
    'delimiter.system_role',
    'delimiter',
    0.25,
    '(?:^|[\\n.!?;>\\])}"\'`*#|-])\\s{0,4}(?:new\\s+)?system(?:\\s+(?:prompt|message|override|instructions?))?\\s?:',
  ),
  rule(
    'delimiter.chat_template',
    'delimiter',
    0.3,
    '<\\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id|end_header_id)\\|>|\\[\\/?inst\\]|<<\\/?sys>>|<\\/?(?:system|assistant)>|(?:^|\\n)#{2,4}\\s?(?:system|instruction|assistant)\\s?:?\\s*(?:\\n|$)',
  ),
  rule(
    'delimiter.fake_end',
    'delimiter',
    0.2,
    '\\b(?:end\\s+of|begin(?:ning)?\\s+of)\\s+(?:the\\s+)?(?:system|user|untrusted|context|document|prompt)\\s+(?:prompt|input|message|data|instructions|context)\\b|-{3}\\s?end\\s+(?:prompt|context|document|data)\\b',
  ),
  rule(
    'delimiter.addressed',
    'delimiter',
    0.2,
    '\\b(?:attention|note|important|message)\\s?(?:,|:|to|for)?\\s+(?:the\\s+|any\\s+|all\\s+)?(?:ai|llm|language)\\s?(?:-|\\s)?(?:assistants?|models?|agents?|reading|systems?)\\b|\\bif\\s+you\\s+are\\s+(?:an?\\s+)?(?:ai|llm|language\\s+model|ai\\s+(?:assistant|agent))\\b',
  ),

  // Calls that the text wants to have made.
  rule(
    'tool_coercion.call',
    'tool_coercion',
    0.25,
    '\\b(?:call|invoke|execute|use|run)\\s+(?:the\\s+)?(?:tool|function)\\s+[`"\']?[a-z][\\w-]*(?:::|__|\\.)[a-z][\\w:.-]*',
  ),
  rule(
    'tool_coercion.silently',
    'tool_coercion',
    0.25,
    "\\b(?:without\\s+(?:telling|informing|asking|notifying|alerting)|do\\s+not\\s+(?:tell|inform|mention\\s+(?:this|it)\\s+to|notify|alert)|don't\\s+(?:tell|inform|mention\\s+(?:this|it)\\s+to|notify))\\s+(?:the\\s+|your\\s+)?(?:user|human|owner|operator|anyone)\\b",
  ),
  rule(
    'tool_coercion.shell',
    'tool_coercion',
    0.25,
    '\\b(?:run|execute|type|enter)\\b[^\\n]{0,60}(?:curl|wget)\\s[^\\n|]{0,200}\\|\\s?(?:ba|z)?sh\\b|\\brm\\s+-rf\\s+[/~]',
  ),
  rule(
    'tool_coercion.fake_json',
    'tool_coercion',
    0.2,
    '"(?:tool_calls?|function_call|tool_use)"\\s?:\\s?[\\[{]|<(?:tool_call|function_calls?|invoke)\\b',
  ),

  // What a person does not see and a model reads.
  rule(
    'hidden.comment',
    'hidden',
    0.2,
    '<!--(?=[^>]{0,400}>)(?=[^>]{0,400}?\\b(?:ignore|instructions?|assistant|you\\s+must|system|ai|prompt)\\b)',
  ),
  rule(
    'hidden.style',
    'hidden',
    0.2,
    'style\\s?=\\s?["\'][^"\'\\n]{0,200}(?:display\\s?:\\s?none|visibility\\s?:\\s?hidden|font-size\\s?:\\s?0|opacity\\s?:\\s?0(?:[;"\'\\s]|$))',
  ),
]

/** Found by the scan itself, not by a pattern. */
export const zeroWidthRule = { id: 'hidden.zero_width', family: 'hidden', weight: 0.2 } as const
export const tagsRule = { id: 'hidden.tag_characters', family: 'hidden', weight: 0.5 } as const
export const encodedRule = { id: 'hidden.encoded', family: 'hidden', weight: 0.25 } as const

function rule(id: string, family: Family, weight: number, pattern: string): Rule {
  return { id, family, weight, pattern: new RegExp(pattern, 'u') }
}
