module process

go 1.21

require muster/sdk v0.0.0

replace muster/sdk => ../../core/sdk/go
