#!/usr/bin/env bash
# A tour of the whole REST API that checks every answer.
#
#   examples/showcase.sh [URL [CLIENT_KEY]]
#
# URL is http://127.0.0.1:8000 unless given, here or as GATEHOUSE_URL. CLIENT_KEY
# (or GATEHOUSE_KEY) must open an empty tenant, and leaves it empty; without one, a
# new UUID is used, which a server with open registration lets in. Needs bash, curl
# and grep. Ends with 1 at the first answer that is not as expected.
set -euo pipefail

new_key() { cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen; }

url=${1:-${GATEHOUSE_URL:-http://127.0.0.1:8000}}
url=${url%/}
key=${2:-${GATEHOUSE_KEY:-$(new_key)}}
steps=0

# expect WHAT STATUS PART METHOD PATH [BODY]: sends a request and checks the status
# of the answer, and that PART stands in its headers or its body. Leaves it in answer.
expect() {
	local what=$1 status=$2 part=$3 method=$4 path=$5 body=${6:-}
	# The key goes through a file descriptor: arguments are for every user to see.
	local arguments=(--silent --show-error --include --request "$method" --config /dev/fd/3)
	if [ -n "$body" ]; then
		arguments+=(--header 'Content-Type: application/json' --data "$body")
	fi
	answer=$(curl "${arguments[@]}" "$url$path" 3<<<"header = \"Authorization: Bearer $key\"") || exit 1
	if ! grep -qE "^HTTP/[0-9.]+ $status" <<<"$answer" || ! grep -qF -- "$part" <<<"$answer"; then
		printf '✗ %s\n  %s %s\n  want %s and %s, got\n%s\n' "$what" "$method" "$path" "$status" "$part" "$answer" >&2
		exit 1
	fi
	steps=$((steps + 1))
	printf '✓ %-66s %s %s\n' "$what" "$method" "$path"
}

# field NAME prints the first text of that name in the answer.
field() { grep -oE "\"$1\":\"[^\"]*\"" <<<"$answer" | head -n 1 | cut -d '"' -f 4; }

chapter() { printf '\n%s\n' "$1"; }

chapter 'Is anybody there?'
expect 'The server answers'                       200 '{"message":"PONG"}'     GET /ping
expect 'It and its database are well'             200 '"status":"healthy"'     GET /health
expect 'The process runs'                         200 '"status":"ok"'          GET /livez
expect 'It may be sent requests'                  200 '"status":"ok"'          GET /readyz
expect 'It counts'                                200 'gatehouse_build_info'   GET /metrics
expect 'It describes itself'                      200 'openapi: 3.0.3'         GET /openapi.yaml
expect 'It describes itself to programs'          200 '"openapi":"3.0.3"'      GET /openapi.json
expect 'It describes itself to people'            200 'text/html'              GET /docs

chapter 'Three roles'
expect 'The tenant is empty'                      200 '"data":[]'              GET /api/roles
expect 'A role for administrators'                200 '"data":{"result":true}' POST /api/role/admin '{"description":"Runs the newsroom"}'
expect 'A role for editors'                       200 '"data":{"result":true}' POST /api/role/editor
expect 'A role for readers'                       200 '"data":{"result":true}' POST /api/role/viewer
expect 'The same again is no error'               200 '"data":{"result":true}' POST /api/role/viewer '{"description":"Reads"}'
expect 'The roles, sorted, the first two'         200 '"data":[{"description":"Runs the newsroom","role":"admin"},{"description":"","role":"editor"}]' GET '/api/roles?limit=2'
expect 'A header leads to the next page'          200 'rel="next"'             GET '/api/roles?limit=2'

chapter 'What they may do'
expect 'Administrators may do everything'         200 '"data":{"result":true}' POST '/api/permission/admin/*'
expect 'Editors may edit'                         200 '"data":{"result":true}' POST /api/permission/editor/edit_content
expect 'Editors may do all that is done to posts' 200 '"data":{"result":true}' POST '/api/permission/editor/post:*'
expect 'Viewers may view'                         200 '"data":{"result":true}' POST /api/permission/viewer/view_content
expect 'Do editors hold the permission?'          200 '"data":{"result":true}' GET /api/permission/editor/edit_content
expect 'A wildcard counts'                        200 '"data":{"result":true}' GET /api/permission/editor/post:publish
expect 'Do viewers hold the permission?'          200 '"data":{"result":false}' GET /api/permission/viewer/edit_content
expect 'What editors may do'                      200 '"data":[{"name":"edit_content"},{"name":"post:*"}]' GET /api/role_permissions/editor
expect 'Which roles can edit'                     200 '"data":[{"role":"admin"},{"role":"editor"}]' GET /api/which_roles_can/edit_content

chapter 'Who they are'
expect 'Alice is an administrator'                200 '"data":{"result":true}' POST /api/membership/alice@example.com/admin
expect 'Bob is an editor'                         200 '"data":{"result":true}' POST /api/membership/bob@example.com/editor
expect 'Bob is a viewer, for a long while'        200 '"data":{"result":true}' POST /api/membership/bob@example.com/viewer '{"expires_at":"2999-12-31T23:59:59Z"}'
expect 'Carol was a viewer'                       200 '"data":{"result":true}' POST /api/membership/carol@example.com/viewer '{"expires_at":"2020-01-01T00:00:00Z"}'
expect 'Is Bob an editor?'                        200 '"data":{"has_membership":true,"has_permission":true}' GET /api/membership/bob@example.com/editor
expect 'Is Carol a viewer now?'                   200 '"data":{"has_membership":false,"has_permission":false}' GET /api/membership/carol@example.com/viewer
expect 'What Bob is'                              200 '"data":[{"role":"editor","user":"bob@example.com"},{"role":"viewer","user":"bob@example.com"}]' GET /api/user_roles/bob@example.com
expect 'Who the viewers are'                      200 '"data":[{"role":"viewer","user":"bob@example.com"}]' GET /api/members/viewer

chapter 'May this user do this?'
expect 'Bob may publish posts'                    200 '"data":{"has_permission":true}' GET /api/has_permission/bob@example.com/post:publish
expect 'Bob may not delete users'                 200 '"data":{"has_permission":false}' GET /api/has_permission/bob@example.com/delete_users
expect 'Alice may'                                200 '"data":{"has_permission":true}' GET /api/has_permission/alice@example.com/delete_users
expect 'A stranger may not'                       200 '"data":{"has_permission":false}' GET /api/has_permission/mallory@example.com/view_content
expect 'All that Bob may do'                      200 '"data":{"count":3,"permissions":[{"name":"edit_content"},{"name":"post:*"},{"name":"view_content"}]}' GET /api/user_permissions/bob@example.com
expect 'Who can edit, and as what'                200 '"data":[{"role":"admin","user":"alice@example.com"},{"role":"editor","user":"bob@example.com"}]' GET /api/which_users_can/edit_content

chapter 'Work that is done for somebody'
expect 'Editors may run the nightly report'       200 '"data":{"result":true}' POST /api/permission/editor/nightly_report
expect 'Who may run it'                           200 '"data":{"count":2,"members":[{"role":"admin","user":"alice@example.com"},{"role":"editor","user":"bob@example.com"}]}' GET /api/workflow/users/nightly_report
expect 'May Bob?'                                 200 '"data":{"has_permission":true}' GET /api/workflow/user/bob@example.com/can_run/nightly_report
expect 'May Carol?'                               200 '"data":{"has_permission":false}' GET /api/workflow/user/carol@example.com/can_run/nightly_report

chapter 'Where they may do it'
expect 'A role that is held at projects'          200 '"scopes":["project"]'   PUT /api/roles/maintainer '{"description":"Keeps a project","scopes":["project"]}'
expect 'One that may do what another may'         200 '"inherits":["editor"]'  PUT /api/roles/chief '{"inherits":["editor"]}'
expect 'A role as it was written'                 200 '"inherits":["editor"]'  GET /api/roles/chief
expect 'A circle names the way around'            409 'circle: editor '      PUT /api/roles/editor '{"inherits":["chief"]}'
expect 'An organization'                          200 '"name":"Acme Inc."'     PUT /api/scopes/organization/acme '{"name":"Acme Inc."}'
expect 'A project in it'                          200 '"parent":{"id":"acme","kind":"organization"}' PUT /api/scopes/project/apollo '{"parent":{"kind":"organization","id":"acme"}}'
expect 'A team in that'                           200 '"kind":"team"'          PUT /api/scopes/team/rockets '{"parent":{"kind":"project","id":"apollo"}}'
expect 'No project hangs under a team'            400 'parent'                 PUT /api/scopes/project/gemini '{"parent":{"kind":"team","id":"rockets"}}'
expect 'The project'                              200 '"id":"apollo"'          GET /api/scopes/project/apollo
expect 'The projects of the organization'         200 '"id":"apollo"'          GET '/api/scopes/project?parent_kind=organization&parent_id=acme'
expect 'A document of Dora in the team'           200 '"owner":"dora"'         PUT /api/resources/document/plan '{"parent":{"kind":"team","id":"rockets"},"owner":"dora","properties":{"status":"draft"}}'
expect 'The document'                             200 '"status":"draft"'       GET /api/resources/document/plan
expect 'All documents'                            200 '"id":"plan"'            GET /api/resources/document
expect 'Maintainers may read documents'           200 '"permission":"document:read"' PUT /api/roles/maintainer/grants/document:read
expect 'And edit drafts'                          200 '"condition":"resource.properties.status == \"draft\""' PUT /api/roles/maintainer/grants/document:edit '{"condition":"resource.properties.status == \"draft\""}'
expect 'A condition must be one'                  400 'condition: '            PUT /api/roles/maintainer/grants/document:print '{"condition":"resource.properties.status =="}'
expect 'What maintainers may do'                  200 '"permission":"document:edit"' GET /api/roles/maintainer/grants
expect 'Owners may delete what is theirs'         200 '"role":"@owner"'        PUT /api/roles/@owner/grants/document:delete
expect 'Erin maintains the project'               200 '"user":"erin"'          PUT /api/scopes/project/apollo/members/erin/roles/maintainer
expect 'Nobody maintains a team'                  409 'maintainer'             PUT /api/scopes/team/rockets/members/erin/roles/maintainer
expect 'Frank edits the document until 2999'      200 '"expires_at":"2999-12-31T23:59:59Z"' PUT /api/resources/document/plan/members/frank/roles/editor '{"expires_at":"2999-12-31T23:59:59Z"}'
expect 'Who is what in the project'               200 '"data":[{"role":"maintainer","user":"erin"}]' GET /api/scopes/project/apollo/members
expect 'Who is what at the document'              200 '"user":"frank"'         GET /api/resources/document/plan/members

chapter 'Together with others'
expect 'A group'                                  200 '"description":"Night shift"' PUT /api/groups/night '{"description":"Night shift"}'
expect 'The group'                                200 '"group":"night"'        GET /api/groups/night
expect 'Grace is in it'                           200 '"data":{"result":true}' PUT /api/groups/night/members/grace
expect 'And all of another group, which is made'  200 '"data":{"result":true}' PUT /api/groups/night/groups/interns
expect 'Groups go in no circle'                   409 'night'                  PUT /api/groups/interns/groups/night
expect 'Heidi is an intern'                       200 '"data":{"result":true}' PUT /api/groups/interns/members/heidi
expect 'The night shift can view everywhere'      200 '"group":"night"'        PUT /api/groups/night/roles/viewer
expect 'It maintains the project'                 200 '"group":"night"'        PUT /api/scopes/project/apollo/groups/night/roles/maintainer
expect 'It edits the document'                    200 '"group":"night"'        PUT /api/resources/document/plan/groups/night/roles/editor
expect 'So Heidi is a viewer'                     200 '"has_membership":true'  GET /api/membership/heidi/viewer

chapter 'May this user do this, here, and why?'
expect 'Erin may edit the draft'                  200 '"allowed":true'         POST /api/check '{"user":"erin","permission":"document:edit","resource":{"type":"document","id":"plan"}}'
expect 'But not once it is published'             200 '"outcome":"condition_false"' POST /api/check '{"user":"erin","permission":"document:edit","resource":{"type":"document","id":"plan","properties":{"status":"published"}},"explain":true}'
expect 'Heidi may, by a group in a group'         200 '"group":"night"'        POST /api/check '{"user":"heidi","permission":"document:edit","resource":{"type":"document","id":"plan"},"explain":true}'
expect 'Dora may delete it, for it is hers'       200 '"role":"@owner"'        POST /api/check '{"user":"dora","permission":"document:delete","resource":{"type":"document","id":"plan"},"explain":true}'
expect 'Nobody else may'                          200 '"allowed":false'        POST /api/check '{"user":"erin","permission":"document:delete","resource":{"type":"document","id":"plan"}}'
expect 'Two questions at once'                    200 '"results":[{"allowed":true' POST /api/check/batch '{"checks":[{"user":"frank","permission":"post:edit","resource":{"type":"document","id":"plan"}},{"user":"frank","permission":"post:edit"}]}'
expect 'Erin is suspended'                        200 '"active":false'         PUT /api/users/erin '{"active":false,"properties":{"level":3}}'
expect 'What is known of Erin'                    200 '"level":3'              GET /api/users/erin
expect 'She may nothing now'                      200 '"outcome":"user_inactive"' POST /api/check '{"user":"erin","permission":"document:edit","resource":{"type":"document","id":"plan"},"explain":true}'
expect 'The same question in the words of AuthZEN' 200 '"decision":true'       POST /access/v1/evaluation '{"subject":{"type":"user","id":"heidi"},"action":{"name":"document:edit"},"resource":{"type":"document","id":"plan"}}'
expect 'Several, until one is denied'             200 '"evaluations":['        POST /access/v1/evaluations '{"subject":{"type":"user","id":"frank"},"resource":{"type":"document","id":"plan"},"evaluations":[{"action":{"name":"document:read"}},{"action":{"name":"post:edit"}}],"options":{"evaluations_semantic":"deny_on_first_deny"}}'
expect 'Who may delete the document'              200 '{"id":"dora","type":"user"}' POST /access/v1/search/subject '{"subject":{"type":"user"},"action":{"name":"document:delete"},"resource":{"type":"document","id":"plan"}}'
expect 'Which documents Heidi may edit'           200 '"id":"plan"'            POST /access/v1/search/resource '{"subject":{"type":"user","id":"heidi"},"action":{"name":"document:edit"},"resource":{"type":"document"}}'
expect 'What she may do to the document'          200 '"name":"document:edit"' POST /access/v1/search/action '{"subject":{"type":"user","id":"heidi"},"resource":{"type":"document","id":"plan"}}'
expect 'Where AuthZEN clients find that'          200 '"policy_decision_point"' GET /.well-known/authzen-configuration
expect 'What changed, in order'                   200 '"kind":"scope"'         GET '/api/changes?after=0'

chapter 'What there is to permit'
expect 'A tool defines permissions'               200 '"permissions":[{"name":"page:edit"},{"description":"Read pages","name":"page:read"}]' PUT /api/tools/wiki '{"description":"Pages","permissions":[{"name":"page:read","description":"Read pages"},{"name":"page:edit"}]}'
expect 'The tool'                                 200 '"tool":"wiki"'          GET /api/tools/wiki
expect 'All tools'                                200 '"description":"Pages"'  GET /api/tools
expect 'Another tool may not define the same'     409 'is defined by the tool' PUT /api/tools/forum '{"permissions":[{"name":"page:edit"}]}'
expect 'All permissions, and who has them'        200 '"name":"edit_content","roles":["editor"]' GET /api/permissions
expect 'From now on, only what is defined'        200 '"strict_permissions":true' PUT /api/settings '{"strict_permissions":true,"strict_users":true}'
expect 'The settings'                             200 '"strict_users":true'    GET /api/settings
expect 'What no tool defines is not granted'      409 'strict_permissions'     POST /api/permission/viewer/page:delete
expect 'What one defines is'                      200 '"data":{"result":true}' POST '/api/permission/viewer/page:*'
expect 'Who is not registered gets no role'       409 'is not registered'      POST /api/membership/ivan/viewer
expect 'As it was before'                         200 '"strict_users":false'   PUT /api/settings '{}'
expect 'The tool goes'                            200 '"data":{"result":true}' DELETE /api/tools/wiki

chapter 'Many changes at once'
expect 'All of them, in one transaction'          200 '"results":[{"result":true},{"result":true},{"result":true}]' POST /api/batch '{"mutations":[{"method":"POST","path":"/api/role/intern"},{"method":"POST","path":"/api/permission/intern/post:read"},{"method":"DELETE","path":"/api/role/intern"}]}'
expect 'Or none, where one of them fails'         404 'mutations.1: role'      POST /api/batch '{"mutations":[{"method":"POST","path":"/api/role/intern"},{"method":"POST","path":"/api/membership/ivan/publisher"}]}'

chapter 'What it refuses'
expect 'A role must exist to be given'            404 'does not exist'         POST /api/membership/bob@example.com/publisher
expect 'A name must be one'                       400 '"message":"Invalid input"' POST /api/role/not%20a%20role
expect 'A wildcard cannot be asked for'           400 '"error":"permission: '  GET '/api/has_permission/bob@example.com/*'
expect 'Built-in roles stay'                      409 'is built in'            DELETE /api/role/@everyone
expect 'A misspelt field'                         400 'descripton'             POST /api/role/editor '{"descripton":"Edits"}'
expect 'Another method'                           405 'POST, DELETE'           PUT /api/role/editor
expect 'No such path'                             404 'there is no such path'  GET /api/nothing
(key=none; expect 'A key that is none'            401 'Bearer'                 GET /api/roles)

chapter 'Is it still her?'
home='"ip":"192.0.2.7","user_agent":"curl"'
expect 'Alice signs in'                           201 '"generation":1'         POST /api/sessions "{\"user\":\"alice@example.com\",$home}"
first=$(field token) session=$(field id)
expect 'Her token is good'                        200 '"active":true'          POST /api/sessions/verify "{\"token\":\"$first\",$home}"
expect 'Its use makes the next one'               200 '"outcome":"rotated"'    POST /api/sessions/rotate "{\"token\":\"$first\",$home}"
token=$(field token)
expect 'A request in parallel gets the same'      200 '"outcome":"replayed"'   POST /api/sessions/rotate "{\"token\":\"$first\",$home}"
(key=$token; expect 'A proxy learns who it is'   200 'X-Auth-User: alice'     GET /auth/forward)
expect 'And may publish keys to check it with'    200 '"keys":'                GET /.well-known/jwks.json
expect 'Her sessions'                             200 "$session"               GET '/api/sessions?user=alice@example.com'
expect 'This one'                                 200 '"generation":2'         GET "/api/sessions/$session"
expect 'She signs in elsewhere'                   201 '"generation":1'         POST /api/sessions "{\"user\":\"alice@example.com\",$home}"
expect 'And out everywhere else'                  200 '"count":1'              DELETE "/api/sessions?user=alice@example.com&except=$session"
expect 'Another browser with her token ends it'   401 '"error":"binding_mismatch"' POST /api/sessions/rotate "{\"token\":\"$token\",\"ip\":\"192.0.2.7\",\"user_agent\":\"Wget/1.21\"}"
expect 'So it is over for her too'                401 '"error":"session_ended"' POST /api/sessions/rotate "{\"token\":\"$token\",$home}"
expect 'It had ended already'                     200 '"data":{"result":false}' DELETE "/api/sessions/$session"

chapter 'A token instead of the key'
expect 'A token that may check, for Alice'        200 '"scope":"check"'        POST /api/token '{"abilities":["check"],"subject":"alice@example.com"}'
access=$(field access_token) refresh=$(field refresh_token)
(key=$access; expect 'It may check'               200 '"allowed":false'        POST /api/check '{"user":"nobody","permission":"edit_content"}')
(key=$access; expect 'And no more'                403 'lacks the ability'      GET /api/roles)
(key=$access; expect 'It gets no other token'     401 '"error":"invalid_client"' POST /api/token)
expect 'Nobody gets more than the key has'        400 '"error":"invalid_scope"' POST /api/token '{"abilities":["fly"]}'
expect 'What it is'                               200 '"sub":"alice@example.com"' POST /api/token/introspect "{\"token\":\"$access\"}"
expect 'The next one'                             200 '"token_type":"Bearer"'  POST /api/token/refresh "{\"refresh_token\":\"$refresh\"}"
next=$(field access_token)
expect 'A refresh token is good once'             400 '"error":"invalid_grant"' POST /api/token/refresh "{\"refresh_token\":\"$refresh\"}"
(key=$next; expect 'Shown again, it ends them all' 401 'error="invalid_token"' GET /api/roles)
expect 'To end what has ended is no error'        200 ''                       POST /api/token/revoke "{\"token\":\"$next\"}"

chapter 'Who did what'
expect 'The audit log has the refused nothing'    200 '"data":[]'              GET '/api/audit?resource=role/publisher'
expect 'And has what became of Bob'               200 '"resource":"membership/bob@example.com/editor"' GET '/api/audit?user=bob@example.com&action=MEMBERSHIP_ADDED'
expect 'The decisions, where they are logged'     200 '"success":true'         GET '/api/audit/decisions?allowed=false&limit=10'

chapter 'And nobody rewrote it'
# An event gets its place in the tree, and that a signed checkpoint, in about a second.
for _ in $(seq 100); do
	status=$(curl --silent --output /dev/null --write-out '%{http_code}' --config /dev/fd/3 "$url/api/audit/proof/inclusion?seq=1" 3<<<"header = \"Authorization: Bearer $key\"")
	[ "$status" = 200 ] && break
	sleep 0.1
done
expect 'A signed checkpoint of the log'           200 '"checkpoint":"gatehouse/audit/' GET /api/audit/checkpoint
expect 'An event is in it'                        200 '"leaf_hash":'           GET '/api/audit/proof/inclusion?seq=1'
expect 'The log only grew'                        200 '"from":1'               GET '/api/audit/proof/consistency?from=1'
expect 'What is not in it cannot be proved'       404 'no event'               GET '/api/audit/proof/inclusion?id=none'

chapter 'All that goes, too'
expect 'Erin leaves the project'                  200 '"data":{"result":true}' DELETE /api/scopes/project/apollo/members/erin/roles/maintainer
expect 'Frank leaves the document'                200 '"data":{"result":true}' DELETE /api/resources/document/plan/members/frank/roles/editor
expect 'The night shift leaves the project'       200 '"data":{"result":true}' DELETE /api/scopes/project/apollo/groups/night/roles/maintainer
expect 'And the document'                         200 '"data":{"result":true}' DELETE /api/resources/document/plan/groups/night/roles/editor
expect 'And views nothing'                        200 '"data":{"result":true}' DELETE /api/groups/night/roles/viewer
expect 'The interns leave the night shift'        200 '"data":{"result":true}' DELETE /api/groups/night/groups/interns
expect 'Grace leaves it'                          200 '"data":{"result":true}' DELETE /api/groups/night/members/grace
expect 'There is no night shift'                  200 '"data":{"result":true}' DELETE /api/groups/night
expect 'There are no interns'                     200 '"data":{"result":true}' DELETE /api/groups/interns
expect 'There is no Erin'                         200 '"data":{"result":true}' DELETE /api/users/erin
expect 'There is no document'                     200 '"data":{"result":true}' DELETE /api/resources/document/plan
expect 'The organization goes with all below it'  200 '"data":{"result":true}' DELETE /api/scopes/organization/acme
expect 'The team went along'                      404 'does not exist'         GET /api/scopes/team/rockets
expect 'Owners may not delete'                    200 '"data":{"result":true}' DELETE /api/roles/@owner/grants/document:delete
expect 'There are no maintainers'                 200 '"data":{"result":true}' DELETE /api/roles/maintainer
expect 'There is no chief'                        200 '"data":{"result":true}' DELETE /api/roles/chief

chapter 'The end'
expect 'Editors may not edit any more'            200 '"data":{"result":true}' DELETE /api/permission/editor/edit_content
expect 'Nor may Bob'                              200 '"data":{"has_permission":false}' GET /api/has_permission/bob@example.com/edit_content
expect 'Alice leaves'                             200 '"data":{"result":true}' DELETE /api/membership/alice@example.com/admin
expect 'She had left already'                     200 '"data":{"result":false}' DELETE /api/membership/alice@example.com/admin
expect 'A role goes with all that hangs on it'    200 '"data":{"result":true}' DELETE /api/role/admin
expect 'And so does the second'                   200 '"data":{"result":true}' DELETE /api/role/editor
expect 'And the third'                            200 '"data":{"result":true}' DELETE /api/role/viewer
expect 'Making one again brings nothing back'     200 '"data":{"result":true}' POST /api/role/editor
expect 'Nobody is an editor'                      200 '"data":[]'              GET /api/members/editor
expect 'It goes, too'                             200 '"data":{"result":true}' DELETE /api/role/editor
expect 'The tenant is empty again'                200 '"data":[]'              GET /api/roles

printf '\nAll %d answers are as they should be.\n' "$steps"
