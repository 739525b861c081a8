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
# of the answer, and that PART stands in its headers or its body.
expect() {
	local what=$1 status=$2 part=$3 method=$4 path=$5 body=${6:-}
	# The key goes through a file descriptor: arguments are for every user to see.
	local arguments=(--silent --show-error --include --request "$method" --config /dev/fd/3)
	if [ -n "$body" ]; then
		arguments+=(--header 'Content-Type: application/json' --data "$body")
	fi
	local answer
	answer=$(curl "${arguments[@]}" "$url$path" 3<<<"header = \"Authorization: Bearer $key\"") || exit 1
	if ! grep -qE "^HTTP/[0-9.]+ $status" <<<"$answer" || ! grep -qF -- "$part" <<<"$answer"; then
		printf '✗ %s\n  %s %s\n  want %s and %s, got\n%s\n' "$what" "$method" "$path" "$status" "$part" "$answer" >&2
		exit 1
	fi
	steps=$((steps + 1))
	printf '✓ %-66s %s %s\n' "$what" "$method" "$path"
}

chapter() { printf '\n%s\n' "$1"; }

chapter 'Is anybody there?'
expect 'The server answers'                       200 '{"message":"PONG"}'     GET /ping
expect 'It and its database are well'             200 '"status":"healthy"'     GET /health
expect 'The process runs'                         200 '"status":"ok"'          GET /livez
expect 'It may be sent requests'                  200 '"status":"ok"'          GET /readyz
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

chapter 'What it refuses'
expect 'A role must exist to be given'            404 'does not exist'         POST /api/membership/bob@example.com/publisher
expect 'A name must be one'                       400 '"message":"Invalid input"' POST /api/role/not%20a%20role
expect 'A wildcard cannot be asked for'           400 '"error":"permission: '  GET '/api/has_permission/bob@example.com/*'
expect 'Built-in roles stay'                      409 'is built in'            DELETE /api/role/@everyone
expect 'A misspelt field'                         400 'descripton'             POST /api/role/editor '{"descripton":"Edits"}'
expect 'Another method'                           405 'POST, DELETE'           PUT /api/role/editor
expect 'No such path'                             404 'there is no such path'  GET /api/nothing
(key=none; expect 'A key that is none'            401 'Bearer'                 GET /api/roles)

chapter 'Who did what'
expect 'The audit log has the refused nothing'    200 '"data":[]'              GET '/api/audit?resource=role/publisher'
expect 'And has what became of Bob'               200 '"resource":"membership/bob@example.com/editor"' GET '/api/audit?user=bob@example.com&action=MEMBERSHIP_ADDED'

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
