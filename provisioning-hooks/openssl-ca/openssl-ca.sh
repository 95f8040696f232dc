#!/bin/sh
# A provisioning hook over the openssl program. One process a node: the JSON of Choria's helpers comes in on stdin, the answer
# goes out on stdout, and an exit code other than 0 is a refusal with its reason as the last line of stderr.
# Needs openssl 1.1.1 or later, flock (util-linux or busybox), and node, which reads and writes the JSON (json.mjs).
set -eu
umask 077
here=$(dirname "$0")
openssl=${OPENSSL:-openssl}
node=${MUSTER_NODE:-node}

fail() {
  echo "$1" >&2
  exit 1
}
for program in "$openssl" "$node" flock; do
  command -v "$program" > /dev/null 2>&1 || fail "openssl-ca needs $program, which is not on PATH ($PATH)"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 143' TERM INT HUP

# What was asked, a file for each value: no value ever is a word of a shell.
"$node" "$here/json.mjs" read "$work" || exit 1
ca=$(cat "$work/folder")
days=$(cat "$work/days")

# Everything that changes the folder runs under one lock, which ends with the process that has it, however that ends.
locked() {
  (
    flock -w 9 9 || fail "the folder $ca is locked by another process for too long"
    "$@"
  ) 9> "$ca/lock"
}

configure() {
  cat > "$ca/openssl.cnf" << CONFIG
[ ca ]
default_ca = this
[ this ]
dir = $ca
database = $ca/index.txt
new_certs_dir = $ca
certificate = $ca/intermediate.pem
private_key = $ca/intermediate.key
crlnumber = $ca/crlnumber
default_md = sha256
default_crl_days = 30
unique_subject = no
policy = any
[ any ]
commonName = supplied
[ req ]
distinguished_name = dn
[ dn ]
[ root ]
basicConstraints = critical,CA:TRUE,pathlen:1
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[ intermediate ]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CONFIG
}

publish() {
  "$openssl" ca -config "$ca/openssl.cnf" -gencrl -out "$ca/crl.new" 2> "$work/log" || fail "openssl ca -gencrl: $(tail -n 1 "$work/log")"
  chmod 644 "$ca/crl.new"
  mv "$ca/crl.new" "$ca/crl.pem"
}

# The certificate of the intermediate comes last, so what a process that died left behind is made anew.
make_ca() {
  [ ! -e "$ca/intermediate.pem" ] || return 0
  configure
  for name in root intermediate; do
    "$openssl" genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$ca/$name.key" 2> "$work/log" \
      || fail "openssl genpkey: $(tail -n 1 "$work/log")"
  done
  "$openssl" req -new -x509 -config "$ca/openssl.cnf" -extensions root -key "$ca/root.key" -subj '/CN=Muster OpenSSL Root CA' \
    -sha256 -days 7300 -out "$ca/root.pem" 2> "$work/log" || fail "openssl req: $(tail -n 1 "$work/log")"
  "$openssl" req -new -config "$ca/openssl.cnf" -key "$ca/intermediate.key" -subj '/CN=Muster OpenSSL CA' -out "$work/ca.csr"
  : > "$ca/index.txt"
  echo 1000 > "$ca/crlnumber"
  "$openssl" x509 -req -in "$work/ca.csr" -CA "$ca/root.pem" -CAkey "$ca/root.key" -set_serial "0x$(cat "$work/random")" \
    -extfile "$ca/openssl.cnf" -extensions intermediate -sha256 -days 3650 -out "$ca/intermediate.new" 2> "$work/log" \
    || fail "openssl x509: $(tail -n 1 "$work/log")"
  mv "$ca/intermediate.new" "$ca/intermediate.pem"
  publish
}

# A part of a line may be there from a process that died; the next one must not go on behind it.
record() {
  [ -z "$(tail -c 1 "$ca/index.txt")" ] || "$node" "$here/json.mjs" whole "$ca/index.txt" || fail "$ca/index.txt can not be mended"
  printf '%s\n' "$1" >> "$ca/index.txt"
}

provision() {
  identity=$(cat "$work/identity")
  serial=$(cat "$work/random")
  # The subject is that of the request; the names are not, they come from here.
  cat > "$work/extensions" << EXTENSIONS
[ node ]
basicConstraints = critical,CA:FALSE
keyUsage = critical,$(cat "$work/usage")
extendedKeyUsage = clientAuth,serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:$identity
EXTENSIONS
  "$openssl" x509 -req -in "$work/csr.pem" -CA "$ca/intermediate.pem" -CAkey "$ca/intermediate.key" -set_serial "0x$serial" \
    -extfile "$work/extensions" -extensions node -sha256 -days "$days" -out "$work/certificate.pem" 2> "$work/log" \
    || fail "openssl x509: $(tail -n 1 "$work/log")"
  # Before anybody has the certificate it is in the index.
  locked record "$(printf 'V\t%s\t\t%s\tunknown\t/CN=%s' "$(cat "$work/until")" "$serial" "$identity")"
  cat "$ca/intermediate.pem" >> "$work/certificate.pem"
  cat "$ca/root.pem" "$ca/intermediate.pem" > "$work/ca.pem"
  "$node" "$here/json.mjs" answer "$work"
}

withdraw() {
  serial=$(cat "$work/serial")
  line=$(awk -F '\t' -v serial="$serial" '$4 == serial { print $1 }' "$ca/index.txt")
  [ -n "$line" ] || return 4
  [ "$line" != V ] || "$node" "$here/json.mjs" withdraw "$work" "$ca/index.txt" || exit 1
  publish
}

mkdir -p "$ca"
locked make_ca
case ${MUSTER_METHOD:-hook/provision} in
  hook/provision) provision ;;
  hook/revoke)
    status=0
    locked withdraw || status=$?
    case $status in
      0) "$node" "$here/json.mjs" revoked "$ca/crl.pem" ;;
      4) printf '{"revoked":false}\n' ;;
      *) exit "$status" ;;
    esac
    ;;
  *) fail "openssl-ca has no method $MUSTER_METHOD" ;;
esac
